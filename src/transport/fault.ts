import type { Malformed } from '../machines/entry-run.js'
import type { MessageType } from '../machines/messages.js'

/** Why a server is not let in. */
type Refusable = 'handshake' | 'version' | 'channel' | 'addressee' | 'membership' | 'cluster' | 'store'
/** What of a frame is malformed; the type of its message where it is the message itself. */
type Unreadable = 'text' | 'length' | 'header' | 'format' | 'group' | 'type' | 'version' | MessageType

/** What was refused from outside, why, and in a word of ours what kind of fault that is: there are few of them. */
export interface Fault<Kind extends Refusable | Unreadable> extends Malformed {
  readonly fault: Kind
}
export type HelloFault = Fault<Refusable>
export type FrameFault = Fault<Unreadable>
