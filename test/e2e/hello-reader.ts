import { decodeHandshake } from '../../src/transport/handshake.js'

const BYTES_MAX = 64 * 1024
const END_OF_REQUEST = '\r\n\r\n'
const MASK_BYTES = 4

/** Reads along with what a dialler sends: the request for a WebSocket, then its hello, which says who it is. */
export class HelloReader {
  #bytes = Buffer.alloc(0)
  #isDone = false

  /** The dialler's id, once, with the piece that completes its hello. */
  read(piece: Uint8Array): number | undefined {
    if (this.#isDone) return undefined
    this.#bytes = Buffer.concat([this.#bytes, piece])
    const text = this.#firstFrame()
    this.#isDone = text !== undefined || this.#bytes.length > BYTES_MAX
    if (text === undefined) return undefined
    const said = decodeHandshake(text)
    return 'kind' in said && said.kind === 'hello' ? said.id : undefined
  }

  /** The payload of the first frame (RFC 6455 §5.2), whose length has 7 or 16 bits: a hello is no longer. */
  #firstFrame(): string | undefined {
    const request = this.#bytes.indexOf(END_OF_REQUEST)
    const frame = this.#bytes.subarray(request + END_OF_REQUEST.length)
    if (request < 0 || frame.length < 4) return undefined
    const short = frame.readUInt8(1) & 0x7f
    const maskAt = short < 126 ? 2 : 4
    const payloadAt = maskAt + MASK_BYTES
    const length = short < 126 ? short : frame.readUInt16BE(2)
    if (frame.length < payloadAt + length) return undefined
    const mask = frame.subarray(maskAt, payloadAt)
    return Buffer.from(
      frame.subarray(payloadAt, payloadAt + length).map((byte, at) => byte ^ (mask[at % MASK_BYTES] ?? 0)),
    ).toString()
  }
}
