import type { RaftContext } from '../machines/context.js'
import { isSettling } from '../machines/leading.js'
import type { Message } from '../machines/messages.js'
import type { ServerId } from '../machines/types.js'

/**
 * Whether a message is worth a turn of its own. Of the answers to an append, the first that make a quorum are; a later one
 * only tells of its peer, and whoever has been sent all there is waits for nothing.
 */
export function isNews(context: RaftContext, from: ServerId, message: Message): boolean {
  if (message.type !== 'appendEntriesReply' || !message.success) return true
  const { leadership, commitIndex, log, hardState } = context
  if (leadership === undefined || message.term !== hardState.term || message.matchIndex > commitIndex) return true
  const peer = leadership.progress.get(from)
  return peer?.mode !== 'replicate' || peer.nextIndex <= log.lastIndex || isSettling(context)
}
