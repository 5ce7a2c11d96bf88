import type { RaftContext } from '../machines/context.js'
import type { ServerId } from '../machines/types.js'
import type { TransportHandler } from '../transport/ports.js'
import type { EventLoop } from './event-loop.js'
import type { MemberVersions } from './member-versions.js'
import { isNews } from './urgency.js'

export interface TransportInboxPorts {
  readonly loop: EventLoop
  readonly versions: MemberVersions
  readonly context: () => RaftContext
  readonly peerDown: (peer: ServerId) => void
  readonly joinAsked: TransportHandler['joinAsked']
  readonly strangerAt: TransportHandler['strangerAt']
  readonly notice: (text: string) => void
}

/** What the transport tells, on its way into the loop. */
export function transportInbox(ports: TransportInboxPorts): TransportHandler {
  const { loop, versions, context, joinAsked, strangerAt, notice } = ports
  return {
    message: (from, message) => {
      const inbox = isNews(context(), from, message) ? loop.messages : loop.unhurried
      inbox.next({ type: 'message', from, message })
    },
    peerUp: (peer, nonce, storeId, version) => {
      versions.note(peer, version)
      loop.messages.next({ type: 'event', event: { type: 'peerUp', peer, nonce, storeId } })
    },
    peerDown: (peer) => {
      ports.peerDown(peer)
      loop.messages.next({ type: 'event', event: { type: 'peerDown', peer } })
    },
    peerDropped: (peer) => loop.messages.next({ type: 'event', event: { type: 'peerDropped', peer } }),
    joinAsked,
    strangerAt,
    notice,
  }
}
