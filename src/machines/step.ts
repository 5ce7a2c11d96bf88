import type { RaftContext } from './context.js'
import { leftOutAt } from './membership.js'
import type { MessageEvent, RaftEvent } from './events.js'
import type { Message } from './messages.js'

/**
 * Settles the term of an event before the role sees it (the paper's "All Servers" rule). XState prefers a child
 * state's handler to its parent's, so the rule cannot live at the machine's root. Returns the events to send, in
 * order; none when the message is to be ignored. Pure.
 */
export function step(context: RaftContext, event: RaftEvent): readonly RaftEvent[] {
  if (!isMessageEvent(event)) return [event]
  const { message, from } = event
  const instant = { now: event.now, wallTime: event.wallTime }
  // Whoever was left out may have raised its term in vain.
  if (message.type === 'notMember') return [event]
  if (isCampaign(message) && leftOutAt(context, from) !== undefined) {
    return [{ ...instant, type: 'outsiderCampaigned', from }, ...settle(context, event)]
  }
  return settle(context, event)
}

function settle(context: RaftContext, event: RaftEvent & MessageEvent): readonly RaftEvent[] {
  const { message, from } = event
  const { term } = context.hardState
  const instant = { now: event.now, wallTime: event.wallTime }
  if (message.term < term) {
    return isRequest(message) ? [{ ...instant, type: 'staleMessage', from, message }] : []
  }
  if (isCampaign(message) && !isTransfer(message) && believesLeaderAlive(context, event.now)) return []
  if (message.term === term || showsNoTerm(message)) return [event]
  return [{ ...instant, type: 'termObserved', term: message.term }, event]
}

/** §4.2.3: within the promise given to a leader no campaign is heard, nor does it raise the term. */
export function believesLeaderAlive(context: RaftContext, now: number): boolean {
  return context.leadership !== undefined || now < context.contact.promisedUntil
}

function isMessageEvent(event: RaftEvent): event is RaftEvent & MessageEvent {
  return 'message' in event && event.type !== 'staleMessage'
}

/** Thesis §9.6: a pre-vote, and a granted answer to one, carry the term of a campaign that may never be. */
function showsNoTerm(message: Message): boolean {
  return message.type === 'preVote' || (message.type === 'preVoteReply' && message.granted)
}

function isCampaign(message: Message): boolean {
  return message.type === 'preVote' || message.type === 'requestVote'
}

function isTransfer(message: Message): boolean {
  return message.type === 'requestVote' && message.leadershipTransfer
}

function isRequest(message: Message): boolean {
  switch (message.type) {
    case 'preVote':
    case 'requestVote':
    case 'appendEntries':
    case 'heartbeat':
    case 'readIndex':
    case 'propose':
    case 'installSnapshot':
    case 'changeMembership':
      return true
    default:
      return false
  }
}
