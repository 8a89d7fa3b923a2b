// `/headwater/sync/2`, as much of it as asking and telling what a stream is
// needs. Each side opens its own substreams, names the lane in the first byte,
// and only writes.

import { lpStream } from '@libp2p/utils'

const PROTOCOL = '/headwater/sync/2'
const CONTROL = 0
/** `Refused.Why.NOT_HELD` */
const NOT_HELD = 2

export class Sync {
  #node
  #frame
  #lanes = new Map()
  #waiting = new Map()
  #lastId = 0
  #manifestOf

  /** `manifestOf` gives the SignedManifest of a log (by its digest), if known. */
  constructor (node, type, manifestOf) {
    this.#node = node
    this.#frame = type('Frame')
    this.#manifestOf = manifestOf
  }

  async start () {
    await this.#node.handle(PROTOCOL, (stream, connection) => {
      // A lane ends when the connection does.
      this.#read(stream, connection.remotePeer).catch(() => {})
    })
    this.#node.addEventListener('peer:disconnect', ({ detail: peer }) => {
      this.#lanes.delete(peer.toString())
    })
  }

  /** Asks a connected peer; its answer, by the name of its kind. */
  async ask (peer, body) {
    const id = ++this.#lastId
    const { promise, resolve } = Promise.withResolvers()
    this.#waiting.set(id, resolve)
    await this.#send(peer, { id, ...body })
    return await promise
  }

  #answer (frame) {
    const manifest = frame.getManifest && this.#manifestOf(frame.getManifest.log)
    // No records are kept here.
    return manifest ? { manifest } : { refused: { why: NOT_HELD } }
  }

  async #send (peer, frame) {
    const name = peer.toString()
    // One control lane a peer: a second one beside it is a breach.
    if (!this.#lanes.has(name)) this.#lanes.set(name, this.#open(peer))
    const lane = await this.#lanes.get(name)
    await lane.write(this.#frame.encode(frame).finish())
  }

  async #open (peer) {
    const stream = await this.#node.dialProtocol(peer, PROTOCOL)
    stream.send(Uint8Array.of(CONTROL))
    return lpStream(stream)
  }

  async #read (stream, peer) {
    await firstByte(stream) // the lane; an answer may come on any
    const frames = lpStream(stream)
    while (true) {
      const frame = this.#frame.decode((await frames.read()).subarray())
      const id = Number(frame.id)
      // Which of the two sides asked is told by the kind of the body.
      if (/^(get|extend|wanted|cancel|retrieve$)/.test(frame.body)) {
        if (frame.body !== 'cancel') await this.#send(peer, { id, ...this.#answer(frame) })
        continue
      }
      this.#waiting.get(id)?.(frame)
      this.#waiting.delete(id)
    }
  }
}

async function firstByte (stream) {
  const { promise, resolve } = Promise.withResolvers()
  stream.addEventListener('message', ({ data }) => {
    const bytes = data.subarray()
    // What follows it belongs to the reader that comes next.
    if (bytes.length > 1) stream.unshift(bytes.subarray(1))
    resolve()
  }, { once: true })
  return await promise
}
