// Reads docs/vectors/heads.json. Started by tests/tests/interop.rs:
//
//     node heads.mjs '{"schemas": "…/proto", "vectors": "…/heads.json"}'

import { readFile } from 'node:fs/promises'
import { checkHead, checkpoint, loadSchemas } from './formats.mjs'

const options = JSON.parse(process.argv[2])
const type = await loadSchemas(options.schemas)
const vectors = JSON.parse(await readFile(options.vectors, 'utf8'))
const publisher = Buffer.from(vectors.public_key, 'hex')

const read = wire => checkHead(vectors.stream, publisher, type('SignedHead').decode(Buffer.from(wire, 'hex')))

for (const { name, wire, text } of vectors.heads) {
  if (checkpoint(vectors.stream, read(wire)) !== text) throw new Error(`${name}: another text`)
}
for (const { why, wire } of vectors.refused_fields) {
  let taken = true
  try { read(wire) } catch { taken = false }
  if (taken) throw new Error(`${why}: taken`)
}
console.log(`${vectors.heads.length} heads read`)
