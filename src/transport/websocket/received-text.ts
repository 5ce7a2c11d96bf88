import type { RawData } from 'ws'

/** The text of a message as ws delivers it, or '' where it is none: no handshake is empty. */
export function receivedText(received: RawData, isBinary: boolean): string {
  return !isBinary && Buffer.isBuffer(received) ? received.toString() : ''
}
