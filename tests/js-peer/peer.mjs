// A Headwater peer over js-libp2p. Started by tests/tests/interop.rs:
//
//     node peer.mjs '{"schemas": "…/proto", "agent": "…", "kad": "client"}'
//
// It takes commands on standard input and tells answers and events on standard
// output, one JSON value a line each, and ends with its standard input.

import { createInterface } from 'node:readline'
import { gossipsub, TopicValidatorResult } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { checkAnnouncement, checkManifest, dataTopic, digestOf, loadSchemas, messageId, streamId, streamOf } from './formats.mjs'
import { Sync } from './sync.mjs'

const options = JSON.parse(process.argv[2])
const type = await loadSchemas(options.schemas)
/** Stream id → its publisher's key and its signed manifest, once proved. */
const streams = new Map()

const tell = line => process.stdout.write(JSON.stringify(line) + '\n')

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  nodeInfo: { userAgent: options.agent },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    ping: ping(),
    kad: kadDHT({
      protocol: '/headwater/kad/2',
      clientMode: options.kad !== 'server',
      // By default addresses on loopback are dropped.
      peerInfoMapper: passthroughMapper
    }),
    gossip: gossipsub({
      globalSignaturePolicy: 'StrictSign',
      msgIdFn: messageId,
      // A lazy peer is in nobody's mesh: it hears of ids and asks for them.
      ...(options.lazy ? { D: 0, Dlo: 0, Dhi: 0, Dscore: 0, Dout: 0 } : {})
    })
  }
})
const { gossip } = node.services
const sync = new Sync(node, type, log => streams.get(streamId(log))?.signed)
await sync.start()

// -- Events --------------------------------------------------------------------

node.addEventListener('peer:identify', ({ detail }) => tell({
  event: 'identified',
  peer: detail.peerId,
  agent: detail.agentVersion,
  protocol_version: detail.protocolVersion,
  protocols: detail.protocols
}))
node.addEventListener('peer:connect', ({ detail }) => tell({ event: 'connected', peer: detail }))
node.addEventListener('peer:disconnect', ({ detail }) => tell({ event: 'disconnected', peer: detail }))
for (const change of ['graft', 'prune']) {
  gossip.addEventListener(`gossipsub:${change}`, ({ detail }) => tell({
    event: change,
    peer: detail.peerId,
    topic: detail.topic
  }))
}

/** Judges what comes on a data topic; what is false goes no further. */
function judge (from, message) {
  const stream = streamOf(message.topic)
  const told = {
    stream,
    from,
    author: message.from,
    id: messageId(message).toString('hex'),
    data: Buffer.from(message.data).toString('base64')
  }
  try {
    tell({ event: 'announced', ...told, ...checkAnnouncement(type, stream, streams.get(stream).publisher, message.data) })
    return TopicValidatorResult.Accept
  } catch (error) {
    tell({ event: 'refused', ...told, why: error.message })
    return TopicValidatorResult.Reject
  }
}

// The ids that peers say they have. Gossipsub has no event for them.
const takeIds = gossip.handleIHave.bind(gossip)
gossip.handleIHave = (peer, lists) => {
  const ids = lists.flatMap(list => list.messageIDs ?? []).map(id => Buffer.from(id).toString('hex'))
  if (ids.length > 0) tell({ event: 'offered', peer, ids })
  return takeIds(peer, lists)
}

// -- Commands ------------------------------------------------------------------

const within = seconds => ({ signal: AbortSignal.timeout(seconds * 1_000) })

/** A connected peer, by its id in text. */
function peerOf (text) {
  const peer = node.getPeers().find(peer => peer.toString() === text)
  if (peer == null) throw new Error(`${text} is not connected`)
  return peer
}

const commands = {
  /** Connects to a multiaddr. */
  async dial ({ address }) {
    const connection = await node.dial(multiaddr(address), within(30))
    return { peer: connection.remotePeer }
  },

  /** Asks a peer for a stream's manifest, and joins the data topic. */
  async follow ({ stream, peer }) {
    const answer = await sync.ask(peerOf(peer), { getManifest: { log: digestOf(stream) } })
    if (answer.manifest == null) throw new Error(`no manifest but ${answer.body}`)
    const manifest = checkManifest(type, stream, answer.manifest)
    streams.set(stream, { publisher: manifest.publisher, signed: answer.manifest })
    gossip.topicValidators.set(dataTopic(stream), judge)
    gossip.subscribe(dataTopic(stream))
    return { name: manifest.name }
  },

  /** Publishes bytes (base64) on a stream's data topic, whatever they are. */
  async publish ({ stream, data }) {
    const { recipients } = await gossip.publish(dataTopic(stream), Buffer.from(data, 'base64'))
    return { recipients }
  },

  /** The peers in the mesh of a stream's data topic. */
  async mesh ({ stream }) {
    return { peers: gossip.getMeshPeers(dataTopic(stream)) }
  },

  /** Waits until a peer has read everything that was sent to it. */
  async ping ({ peer }) {
    await node.services.ping.ping(peerOf(peer), within(30))
    return {}
  },

  /** Who Kademlia says has a stream. */
  async providers ({ stream }) {
    const providers = []
    for await (const { id, multiaddrs } of node.contentRouting.findProviders(CID.parse(stream), within(30))) {
      providers.push({ peer: id, addresses: multiaddrs })
    }
    return { providers }
  },

  /** Says in Kademlia that this peer has a stream. */
  async provide ({ stream }) {
    await node.contentRouting.provide(CID.parse(stream), within(30))
    return {}
  }
}

tell({ event: 'listening', peer: node.peerId, addresses: node.getMultiaddrs() })
createInterface({ input: process.stdin }).on('line', async line => {
  const { id, command, ...rest } = JSON.parse(line)
  try {
    tell({ answer: id, ...await commands[command](rest) })
  } catch (error) {
    tell({ answer: id, error: error.message })
  }
}).on('close', () => process.exit(0))
