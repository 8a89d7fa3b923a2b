# shellcheck shell=bash
# A small internet of network namespaces, for `scripts/testnet up N --nat`.
# Sourced by it, after lib.sh; $NET is the network's folder.
#
#     node 1   node 2     router 2 (NAT)   router 3 (NAT)
#        │        │          │     └ node 3   │   └ node 4
#        └─ west ─┴───┐      │                │
#                     └─── cable ──── east ───┘
#
# West and east are bridges in a namespace of their own, so nothing of it is in
# the machine's own one, and a namespace that is deleted takes everything along.
# Public machines are in 198.51.100.0/24 and 2001:db8::/64, the WAN sides of the
# routers in 203.0.113.0/24 (all set aside for documentation), the LANs in
# 10.0.0.0/16. What has no route is lost without a word, as in the real one.
#
# Behind a dual-stack router, as from a provider that has no IPv4 addresses left,
# IPv4 is mapped as by a symmetric router. Over IPv6 everybody has an address of
# their own, in 2001:db8:SITE::/64, and the router lets in what answers only. All
# of 2001:db8::/32 is one link, on which a router speaks for those behind it: so
# each half goes on by itself when the network is cut.
#
# How a router drops is what decides whether hole punching works. Both nodes
# dial at once, and the first packet to arrive always beats the other's way
# out: a router that answered with RST, or let the packet make a conntrack
# entry, would end the attempt. Home routers say nothing, and so do these.

# Each network has a prefix of its own, so that several run side by side.
PREFIX=headwater-$(sha256sum <<<"$NET" | head -c 6)
INTERNET=$PREFIX-net
# A row a node: number, kind, half, namespace, the namespace of its router (of
# itself, when it has none), address, port, IPv6 address (- for none).
PLACES=$NET/places
# The process id of the cable that takes its time, while there is one.
SLOW_CABLE=$NET/slow-cable.pid

NAT_KINDS=(public full-cone port-restricted symmetric remap firewall dual-stack)
# What a remapping router uses instead of a node's own port.
REMAPPED_PORTS=20000-29999
# Exit code when the machine does not let us have a lab.
NO_NAMESPACES=3

# -- Up and down --------------------------------------------------------------

# lab_check COUNT KIND…: whether there can be such a network, on this machine.
lab_check() {
    local kind
    (($1 <= 250)) || fail "at most 250 nodes have a place behind routers"
    (($# > 1)) || fail "name the kinds of routers; there are: ${NAT_KINDS[*]}"
    for kind in "${@:2}"; do
        [[ " ${NAT_KINDS[*]} " == *" $kind "* ]] ||
            fail "there is no router of the kind $kind; there are: ${NAT_KINDS[*]}"
    done
    lab_allowed
}

# lab_up COUNT KIND…: node 1 is public, the others are behind one router for
# each kind, in turn.
lab_up() {
    local count=$1 node site kinds
    shift
    kinds=("$@")
    internet_up
    lab_place 1 public 0
    for ((node = 2; node <= count; node++)); do
        site=$(((node - 2) % ${#kinds[@]} + 1))
        lab_place "$node" "${kinds[site - 1]}" "$site"
    done
}

# lab_down: whatever there is, also what a script that was killed has left.
lab_down() {
    local space pids
    for space in $(lab_namespaces); do
        mapfile -t pids < <(ip netns pids "$space")
        ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
        ip netns delete "$space"
    done
}

lab_namespaces() {
    ip netns list 2>/dev/null | cut -d ' ' -f 1 | grep "^$PREFIX-" || true
}

# lab_allowed: says why not, when this machine has no namespaces for us.
lab_allowed() {
    local tool missing=() trial=$PREFIX-trial
    for tool in ip tc iptables-restore ip6tables-restore conntrack; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    ((${#missing[@]} == 0)) ||
        lab_refused "${missing[*]} missing; install with: scripts/setup --dev"
    ip netns add "$trial" 2>/dev/null ||
        lab_refused "network namespaces are not allowed here; run it as root"
    if ! ip netns exec "$trial" iptables-restore <<<$'*nat\nCOMMIT' 2>/dev/null; then
        ip netns delete "$trial"
        lab_refused "the kernel has no NAT for network namespaces"
    fi
    ip netns delete "$trial"
}

lab_refused() {
    printf '%s: no NAT lab: %s\n' "${0##*/}" "$*" >&2
    exit "$NO_NAMESPACES"
}

internet_up() {
    ip netns add "$INTERNET"
    ip -n "$INTERNET" -batch - <<BATCH
link add west type bridge mcast_snooping 0
link add east type bridge mcast_snooping 0
link add cable type veth peer name cable-end
link set cable master west up
link set cable-end master east up
address add 198.51.100.254/24 dev west
address add 203.0.113.254/24 dev west
link set west up
link set east up
link set lo up
route add blackhole default
BATCH
    set_sysctl "$INTERNET" net.ipv4.ip_forward=1
}

# lab_place NODE KIND SITE: a namespace for the node, and a router if the site
# needs one and has none yet.
lab_place() {
    local node=$1 kind=$2 site=$3 half=west space=$PREFIX-n$1 router=$PREFIX-n$1 address address6=-
    local port=$((4600 + node))
    if ((site % 2 == 0 && site > 0)); then half=east; fi
    namespace_up "$space"
    case $kind in
        public | firewall)
            address=198.51.100.$node
            plug "$space" "$half" "n$node" "$address" 198.51.100.254
            address6=2001:db8::$node
            ip -n "$space" address add "$address6/32" dev wan nodad
            ;;
        *)
            router=$PREFIX-r$site
            address=10.0.$site.$node
            [[ -e /var/run/netns/$router ]] || router_up "$site" "$half"
            lan_join "$site" "$node" "$address"
            if [[ $kind == dual-stack ]]; then
                address6=2001:db8:$site::$node
                lan_join_ipv6 "$site" "$node" "$address6"
            fi
            ;;
    esac
    printf '%s\t' "$node" "$kind" "$half" "$space" "$router" "$address" >>"$PLACES"
    printf '%s\t%s\n' "$port" "$address6" >>"$PLACES"
    router_rules "$kind" "$router"
}

# namespace_up NAMESPACE: one whose IPv6 addresses are of use at once, and not
# only when nobody has objected for a second or two.
namespace_up() {
    ip netns add "$1"
    set_sysctl "$1" net.ipv6.conf.default.accept_dad=0
}

# plug NAMESPACE HALF NAME ADDRESS GATEWAY: its interface `wan`, in the internet.
plug() {
    local space=$1 half=$2 name=$3 address=$4 gateway=$5 other=203.0.113.0/24
    [[ $address != 203.* ]] || other=198.51.100.0/24
    ip -n "$INTERNET" link add "$name" type veth peer name wan netns "$space"
    ip -n "$INTERNET" link set "$name" master "$half" up
    ip -n "$space" -batch - <<BATCH
link set lo up
address add $address/24 dev wan
link set wan up
route add $other dev wan
route add default via $gateway
BATCH
}

router_up() {
    local site=$1 half=$2 space=$PREFIX-r$1
    namespace_up "$space"
    plug "$space" "$half" "r$site" "203.0.113.$site" 203.0.113.254
    ip -n "$space" -batch - <<BATCH
link add lan type bridge mcast_snooping 0
address add 10.0.$site.1/24 dev lan
link set lan up
BATCH
    set_sysctl "$space" net.ipv4.ip_forward=1
}

lan_join() {
    local site=$1 node=$2 address=$3 router=$PREFIX-r$1 space=$PREFIX-n$2
    ip -n "$router" link add "n$node" type veth peer name lan netns "$space"
    ip -n "$router" link set "n$node" master lan up
    ip -n "$space" -batch - <<BATCH
link set lo up
address add $address/24 dev lan
link set lan up
route add default via 10.0.$site.1
BATCH
}

# lan_join_ipv6 SITE NODE ADDRESS: as well.
lan_join_ipv6() {
    local site=$1 address=$3 router=$PREFIX-r$1 space=$PREFIX-n$2
    ip -n "$router" -batch - <<BATCH
address replace 2001:db8:ffff::$site/32 dev wan nodad
address replace 2001:db8:$site::1/64 dev lan nodad
neighbour add proxy $address dev wan
BATCH
    ip -n "$space" -batch - <<BATCH
address add $address/64 dev lan nodad
route add default via 2001:db8:$site::1
BATCH
    set_sysctl "$router" net.ipv6.conf.all.forwarding=1
    set_sysctl "$router" net.ipv6.conf.wan.proxy_ndp=1
    # For others a router would answer up to a second later.
    set_sysctl "$router" net.ipv6.neigh.wan.proxy_delay=0
}

set_sysctl() {
    ip netns exec "$1" sysctl -qw "$2"
}

# -- Nodes --------------------------------------------------------------------

# lab_enter NODE HOME: the node with this home lives there from now on.
lab_enter() {
    mkdir -p "$2"
    echo "$PREFIX-n$1" >"$2/namespace"
}

# lab_listen NODE: where it listens: on a port of its own, which a full cone
# router forwards.
lab_listen() {
    local port=$((4600 + $1))
    printf '%s\n' "/ip4/0.0.0.0/tcp/$port" "/ip4/0.0.0.0/udp/$port/quic-v1" \
        "/ip6/::/tcp/$port" "/ip6/::/udp/$port/quic-v1"
}

# lab_external NODE: where a public node is reached.
lab_external() {
    local port=$((4600 + $1))
    printf '%s\n' "/ip4/198.51.100.$1/tcp/$port" "/ip4/198.51.100.$1/udp/$port/quic-v1" \
        "/ip6/2001:db8::$1/tcp/$port" "/ip6/2001:db8::$1/udp/$port/quic-v1"
}

# -- Routers ------------------------------------------------------------------

# router_rules KIND NAMESPACE: replaces all the rules of the router, or of the
# machine that is its own firewall.
router_rules() {
    local kind=$1 space=$2
    case $kind in
        public) ;;
        firewall)
            firewall_rules | ip netns exec "$space" iptables-restore
            firewall_rules ipv6 | ip netns exec "$space" ip6tables-restore
            ;;
        *) nat_rules "$kind" "$space" | ip netns exec "$space" iptables-restore ;;
    esac
    [[ $kind != dual-stack ]] || ipv6_router_rules | ip netns exec "$space" ip6tables-restore
}

firewall_rules() {
    printf '%s\n' '*filter' ':INPUT DROP' ':FORWARD DROP' ':OUTPUT ACCEPT' \
        '-A INPUT -i lo -j ACCEPT' \
        '-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT'
    # Without neighbour discovery there is no IPv6 at all.
    [[ ${1:-} != ipv6 ]] || printf '%s\n' '-A INPUT -p ipv6-icmp -j ACCEPT'
    printf 'COMMIT\n'
}

ipv6_router_rules() {
    printf '%s\n' '*filter' ':INPUT ACCEPT' ':FORWARD DROP' ':OUTPUT ACCEPT' \
        '-A FORWARD -i lan -j ACCEPT' \
        '-A FORWARD -i wan -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT' \
        'COMMIT'
}

nat_rules() {
    local kind=$1 space=$2 address port
    printf '%s\n' '*filter' ':INPUT ACCEPT' ':FORWARD DROP' ':OUTPUT ACCEPT' \
        '-A INPUT -i wan -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT' \
        '-A INPUT -i wan -j DROP' \
        '-A FORWARD -i lan -j ACCEPT' \
        '-A FORWARD -i wan -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT'
    [[ $kind != full-cone ]] ||
        printf '%s\n' '-A FORWARD -i wan -m conntrack --ctstate DNAT -j ACCEPT'
    printf '%s\n' COMMIT '*nat'
    if [[ $kind == full-cone ]]; then
        while read -r address port; do
            printf -- '-A PREROUTING -i wan -p %s --dport %s -j DNAT --to-destination %s\n' \
                tcp "$port" "$address" udp "$port" "$address"
        done < <(awk -v router="$space" '$5 == router { print $6, $7 }' "$PLACES")
    fi
    case $kind in
        # The same port as inside while it is free, whomever it talks to.
        full-cone | port-restricted) printf '%s\n' '-A POSTROUTING -o wan -j MASQUERADE' ;;
        # Another port for everybody it talks to.
        symmetric | dual-stack) printf '%s\n' '-A POSTROUTING -o wan -j MASQUERADE --random-fully' ;;
        # Another port than inside, the same one whomever it talks to.
        remap)
            printf -- '-A POSTROUTING -o wan -p %s -j SNAT --to-source %s:%s\n' \
                tcp "$(wan_address "$space")" "$REMAPPED_PORTS" \
                udp "$(wan_address "$space")" "$REMAPPED_PORTS"
            ;;
    esac
    printf 'COMMIT\n'
}

wan_address() {
    ip -n "$1" -json address show wan | jq -er '.[0].addr_info[] | select(.family == "inet").local'
}

# -- What can happen to it ----------------------------------------------------

# lab_place_of NODE: sets `kind` and `router` of the caller.
lab_place_of() {
    local row
    row=$(awk -v node="$1" '$1 == node { print $2, $5 }' "$PLACES")
    [[ -n $row ]] || fail "there is no node $1; there are: $(cut -f 1 "$PLACES" | xargs)"
    read -r kind router <<<"$row"
}

# lab_cable up|down: whether the two halves reach each other.
lab_cable() {
    local cable=cable
    [[ ! -e $SLOW_CABLE ]] || cable=slow-west
    ip -n "$INTERNET" link set "$cable" "$1"
}

# lab_delay MS|off: how long what goes from one half to the other is on its way.
lab_delay() {
    local program
    program=$(dirname "$HEADWATER_BIN")/slow-cable
    [[ $1 =~ ^(off|[1-9][0-9]{0,3})$ ]] || fail "$1 is not a delay in milliseconds; write off for none"
    [[ -x $program ]] || fail "$program is missing; build it with: scripts/test"
    if [[ -e $SLOW_CABLE ]]; then
        # Its devices go with it.
        kill "$(<"$SLOW_CABLE")" 2>/dev/null || true
        wait_until 5 "the slow cable goes" no_device slow-west
        rm "$SLOW_CABLE"
    fi
    ip -n "$INTERNET" link set cable up
    [[ $1 != off ]] || return 0
    ip netns exec "$INTERNET" setsid "$program" "$1" slow-west slow-east >"$NET/slow-cable.log" 2>&1 </dev/null &
    echo "$!" >"$SLOW_CABLE"
    disown
    wait_until 5 "the slow cable comes; see $NET/slow-cable.log" has_device slow-east
    ip -n "$INTERNET" -batch - <<BATCH
link set cable down
link set slow-west master west up
link set slow-east master east up
BATCH
}

has_device() {
    ip -n "$INTERNET" link show "$1" >/dev/null 2>&1
}

no_device() {
    ! has_device "$1"
}

# lab_limit NODE RATE: caps what goes in and out at the node's place, each way,
# at a rate in tc's words (10mbit), or not any more (off).
lab_limit() {
    local kind router port
    lab_place_of "$1"
    port=${router#"$PREFIX-"}
    limit_interface "$router" wan "$2"
    limit_interface "$INTERNET" "$port" "$2"
}

limit_interface() {
    tc -n "$1" qdisc delete dev "$2" root 2>/dev/null || true
    [[ $3 != off ]] || return 0
    # A queue of 200 ms is what home routers are like on a good day.
    tc -n "$1" qdisc add dev "$2" root tbf rate "$3" burst 64kb latency 200ms ||
        fail "$3 is not a rate such as 10mbit; write off to lift the cap"
}

# lab_lose NODE PERCENT: loses packets at the node's place, each way.
lab_lose() {
    local kind router probability restore
    lab_place_of "$1"
    [[ $2 =~ ^(off|[0-9]{1,2}(\.[0-9]+)?%?)$ ]] || fail "$2 is not a share such as 2%; write off to lose nothing"
    probability=$(awk -v share="${2%\%}" 'BEGIN { print share / 100 }')
    for restore in iptables-restore ip6tables-restore; do
        {
            printf '*mangle\n'
            [[ $2 == off ]] ||
                printf -- '-A %s wan -m statistic --mode random --probability %s -j DROP\n' \
                    'PREROUTING -i' "$probability" 'POSTROUTING -o' "$probability"
            printf 'COMMIT\n'
        } | ip netns exec "$router" "$restore"
    done
}

# lab_reboot NODE: the router of the node is away for a moment, and has forgotten
# all connections when it is back.
lab_reboot() {
    local kind router port
    lab_place_of "$1"
    [[ $kind != public ]] || fail "node $1 has no router"
    port=${router#"$PREFIX-"}
    # At the other end of the cable: its own addresses and routes stay.
    ip -n "$INTERNET" link set "$port" down
    sleep 1
    router_rules "$kind" "$router"
    ip netns exec "$router" conntrack -F 2>/dev/null
    ip netns exec "$router" conntrack -F -f ipv6 2>/dev/null
    ip -n "$INTERNET" link set "$port" up
}

# lab_forget NODE: the router of the node knows none of its connections any more,
# nor does it take up one in the middle. (Its cable stays plugged, so that neither
# end hears of it.)
lab_forget() {
    local kind router
    lab_place_of "$1"
    [[ $kind != public ]] || fail "node $1 has no router"
    set_sysctl "$router" net.netfilter.nf_conntrack_tcp_loose=0
    # What it does not know would leave it with an address of the LAN.
    ip netns exec "$router" iptables -t mangle -I FORWARD -m conntrack --ctstate INVALID -j DROP
    ip netns exec "$router" conntrack -F 2>/dev/null
}

# lab_move NODE: another address in the same network. The old one is dead: what
# comes for it, or still leaves from it, is lost.
lab_move() {
    local address moved
    address=$(lab_address_of "$1")
    moved=${address%.*}.$(($1 + 100))
    [[ $address != "$moved" ]] || fail "node $1 has moved before"
    lab_change_address "$1" "$address" "$moved"
}

# lab_return NODE: the address that it had before it moved.
lab_return() {
    local address first
    address=$(lab_address_of "$1")
    first=${address%.*}.$1
    [[ $address != "$first" ]] || fail "node $1 has not moved"
    # Nothing else is in there but what buries it.
    ip netns exec "$PREFIX-n$1" iptables -t raw -F
    lab_change_address "$1" "$address" "$first"
}

# lab_change_address NODE OLD NEW
lab_change_address() {
    local node=$1 address=$2 moved=$3 kind router device=lan gateway other
    lab_place_of "$node"
    gateway=${address%.*}.1
    if [[ $router == "$PREFIX-n$node" ]]; then device=wan gateway=198.51.100.254 other=203.0.113.0/24; fi
    lab_bury "$node" "$address"
    ip -n "$PREFIX-n$node" address del "$address/24" dev "$device"
    ip -n "$PREFIX-n$node" address add "$moved/24" dev "$device"
    [[ -z ${other:-} ]] || ip -n "$PREFIX-n$node" route add "$other" dev "$device"
    ip -n "$PREFIX-n$node" route add default via "$gateway"
    lab_readdress "$node" "$moved"
}

# lab_part NODE: another network of the same household: its router leads from one
# to the other.
lab_part() {
    local kind router address site
    lab_place_of "$1"
    address=$(lab_address_of "$1")
    [[ $address == 10.0.* ]] || fail "node $1 is not in the first network behind a router"
    site=${address#10.0.} site=${site%.*}
    ip -n "$router" address replace "10.1.$site.1/24" dev lan
    # It says where a shorter way is, which leads out of the other's network.
    set_sysctl "$router" net.ipv4.conf.all.send_redirects=0
    set_sysctl "$router" net.ipv4.conf.lan.send_redirects=0
    ip -n "$PREFIX-n$1" -batch - <<BATCH
address del $address/24 dev lan
address add 10.1.$site.$1/24 dev lan
route add default via 10.1.$site.1
BATCH
    lab_readdress "$1" "10.1.$site.$1"
}

# lab_roam NODE KIND: behind a new router, as from the Wi-Fi to the phone.
lab_roam() {
    local node=$1 kind router address device=lan site=$(($1 + 100)) port=$((4600 + $1)) moved
    lab_check "$node" "$2"
    [[ $2 != public && $2 != firewall && $2 != dual-stack ]] || fail "there is no router of the kind $2 to go behind"
    lab_place_of "$node"
    address=$(lab_address_of "$node")
    moved=10.0.$site.$node
    [[ ! -e /var/run/netns/$PREFIX-r$site ]] || fail "node $node has gone before"
    [[ $router != "$PREFIX-n$node" ]] || device=wan
    lab_bury "$node" "$address"
    ip -n "$PREFIX-n$node" link del "$device"
    router_up "$site" east
    lan_join "$site" "$node" "$moved"
    awk -v OFS='\t' -v node="$node" -v kind="$2" -v router="$PREFIX-r$site" -v port="$port" \
        '$1 == node { $2 = kind; $3 = "east"; $5 = router; $7 = port; $8 = "-" } 1' "$PLACES" >"$PLACES.new"
    mv "$PLACES.new" "$PLACES"
    lab_readdress "$node" "$moved"
    router_rules "$2" "$PREFIX-r$site"
}

# lab_bury NODE ADDRESS: nothing comes for it any more, and nothing leaves from it.
lab_bury() {
    ip netns exec "$PREFIX-n$1" iptables -t raw -A PREROUTING -d "$2" -j DROP
    ip netns exec "$PREFIX-n$1" iptables -t raw -A OUTPUT -s "$2" -j DROP
}

lab_address_of() {
    awk -v node="$1" '$1 == node { print $6 }' "$PLACES"
}

# lab_readdress NODE ADDRESS: in the list of places.
lab_readdress() {
    awk -v OFS='\t' -v node="$1" -v address="$2" '$1 == node { $6 = address } 1' "$PLACES" >"$PLACES.new"
    mv "$PLACES.new" "$PLACES"
}

# lab_hole NODE BYTES|off: packets above so many bytes are lost at the node's
# place, and nobody is told. The interfaces on the way hand over packets as they
# go over a wire, not many of them in one.
lab_hole() {
    local kind router device=lan
    lab_place_of "$1"
    [[ $2 =~ ^(off|[1-9][0-9]{2,3})$ ]] || fail "$2 is not a size in bytes; write off to lose nothing"
    [[ $router != "$PREFIX-n$1" ]] || device=wan
    ip -n "$PREFIX-n$1" link set "$device" gso_max_segs 1
    ip -n "$router" link set wan gso_max_segs 1
    ip -n "$INTERNET" link set "${router#"$PREFIX-"}" gso_max_segs 1
    {
        printf '*mangle\n'
        [[ $2 == off ]] ||
            printf -- '-A %s wan -m length --length %s:65535 -j DROP\n' \
                'PREROUTING -i' "$(($2 + 1))" 'POSTROUTING -o' "$(($2 + 1))"
        printf 'COMMIT\n'
    } | ip netns exec "$router" iptables-restore
}
