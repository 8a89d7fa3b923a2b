// docs/formats.md in JavaScript: what is hashed, what is signed, and what is
// gossiped. Written from that page and from the published schemas alone; no
// code is shared with the node.

import { createHash, createPublicKey, verify } from 'node:crypto'
import path from 'node:path'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import protobuf from 'protobufjs'

/** The schemas of a `proto` folder, by the names that they have there. */
export async function loadSchemas (folder) {
  const root = new protobuf.Root()
  // An import is named from the folder's root, wherever it is read.
  root.resolvePath = (_, file) => path.isAbsolute(file) ? file : path.join(folder, file)
  for (const file of ['log', 'gossip', 'sync']) {
    await root.load(path.join(folder, `headwater/v1/${file}.proto`))
  }
  return name => root.lookupType(`headwater.v1.${name}`)
}

export const sha256 = (...parts) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

const sameBytes = (a, b) => Buffer.compare(a, b) === 0

function demand (holds, what) {
  if (!holds) throw new Error(what)
}

// -- Names ---------------------------------------------------------------------

/** The SHA-256 inside a stream id. */
export function digestOf (stream) {
  const { version, code, multihash } = CID.parse(stream)
  demand(version === 1 && code === 0x55 && multihash.code === 0x12, `${stream} is no stream id`)
  return multihash.digest
}

/** The stream id with this digest. */
export const streamId = digest => CID.createV1(0x55, createDigest(0x12, digest)).toString()

export const dataTopic = stream => `/headwater/2/${stream}/data`

/** The stream whose data topic this is. */
export const streamOf = topic => /^\/headwater\/2\/([^/]+)\/data$/.exec(topic)?.[1]

export function messageId ({ topic, data }) {
  return sha256(Buffer.of(0), topic, Buffer.of(0), data).subarray(0, 20)
}

// -- Signatures ----------------------------------------------------------------

// RFC 8410: how a raw ed25519 key is wrapped.
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')

function demandSignature (publisher, message, signature, what) {
  const key = createPublicKey({ key: Buffer.concat([SPKI, publisher]), format: 'der', type: 'spki' })
  demand(verify(null, message, key, signature), `${what} is not signed by the publisher`)
}

/** The manifest of a stream: it hashes to the id, and its publisher signed it. */
export function checkManifest (type, stream, { manifest: bytes, signature }) {
  demand(sameBytes(sha256(bytes), digestOf(stream)), 'a manifest is that of another stream')
  const manifest = type('Manifest').decode(bytes)
  const message = Buffer.concat([Buffer.from('headwater/1/manifest\0'), bytes])
  demandSignature(manifest.publisher, message, signature, 'a manifest')
  return manifest
}

/** What the publisher of a stream signs of a head: a C2SP checkpoint. */
export function checkpoint (stream, { size, root, time_us: time, closed, lines }) {
  const end = closed == null ? [] : [`closed ${closed.length === 0 ? '-' : streamId(closed)}`]
  const tree = [size, Buffer.from(root).toString('base64')]
  return [`headwater/1/${stream}`, ...tree, `time ${time}`, ...end, ...lines].map(line => `${line}\n`).join('')
}

/** The lines of later versions, which are signed and not heeded. */
function checkLines (lines) {
  demand(lines.length <= 4 && Buffer.byteLength(lines.join('')) <= 256, 'a head has too many lines')
  for (const line of lines) {
    demand(line !== '' && !/\p{Cc}/u.test(line), 'a line of a head is none')
    demand(!/^(time|closed)( |$)/.test(line), 'a line of a head has the word of another')
  }
}

/** A head of this stream that its publisher signed, from its fields. */
export function checkHead (stream, publisher, { size, root, timeUs, closed, lines, signature }) {
  const head = { size: BigInt(size), root, time_us: BigInt(timeUs), closed, lines }
  demand(head.size <= 1n << 62n && head.time_us < 1n << 63n, 'a head is larger, or later, than any')
  demand(root.length === 32, 'the root of a head is none')
  demand(head.size > 0n || sameBytes(root, sha256()), 'the root of an empty log is another')
  demand(closed == null || [0, 32].includes(closed.length), 'a successor is no stream')
  demand(closed == null || !sameBytes(closed, digestOf(stream)), 'a stream is its own successor')
  checkLines(lines)
  demandSignature(publisher, Buffer.from(checkpoint(stream, head)), signature, 'a head')
  return head
}

// -- The tree ------------------------------------------------------------------

const leafHash = record => sha256(Buffer.of(0), record)
const innerHash = (left, right) => sha256(Buffer.of(1), left, right)

/**
 * The hashes of the perfect subtrees that cover a log from its beginning on,
 * the largest first.
 */
export class Frontier {
  constructor (size = 0n, hashes = []) {
    let subtrees = 0
    for (let rest = size; rest > 0n; rest >>= 1n) subtrees += Number(rest & 1n)
    demand(hashes.length === subtrees, `${hashes.length} hashes cannot cover ${size} records`)
    this.size = size
    this.hashes = [...hashes]
  }

  append (leaf) {
    // As many subtrees are completed as the size ends in binary ones.
    for (let rest = this.size; rest & 1n; rest >>= 1n) leaf = innerHash(this.hashes.pop(), leaf)
    this.hashes.push(leaf)
    this.size += 1n
  }

  root () {
    if (this.size === 0n) return sha256()
    return this.hashes.reduceRight((right, left) => innerHash(left, right))
  }
}

/** Records, each after its length in bytes (varint). */
export function splitRecords (bytes) {
  const reader = protobuf.Reader.create(bytes)
  const records = []
  while (reader.pos < reader.len) records.push(Buffer.from(reader.bytes()))
  return records
}

function observation (record) {
  demand(record.length >= 8, 'a record has no time')
  return { time_us: String(record.readBigInt64BE(0)), value: record.toString('utf8', 8) }
}

// -- What is gossiped ----------------------------------------------------------

/** An announcement whose records hash up to a head that the publisher signed. */
export function checkAnnouncement (type, stream, publisher, data) {
  const { head: signed, first, compactRange, records } = type('Announcement').decode(data)
  demand(signed != null, 'an announcement has no head')
  const head = checkHead(stream, publisher, signed)
  const tree = new Frontier(BigInt(first), compactRange)
  const added = splitRecords(records)
  for (const record of added) tree.append(leafHash(record))
  demand(tree.size === head.size, `an announcement ends at ${tree.size}, its head at ${head.size}`)
  demand(sameBytes(tree.root(), head.root), 'an announcement does not hash up to its head')
  return {
    size: Number(head.size),
    first: Number(first),
    root: Buffer.from(head.root).toString('hex'),
    observations: added.map(observation)
  }
}
