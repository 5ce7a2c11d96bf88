import type { Clock, Random } from '../../machines/time-and-chance.js'
import type { Checksum } from '../../machines/types.js'
import type { FrameLimits } from '../frame-limits.js'
import type { Notices } from '../notices.js'
import type { TransportHandler, TransportIdentity } from '../ports.js'
import type { ProtocolVersions } from '../protocol-versions.js'
import type { WebSocketOptions } from '../websocket-options.js'

/** What every connection of one transport shares. */
export interface LinkContext {
  readonly options: WebSocketOptions
  readonly limits: FrameLimits
  readonly versions: ProtocolVersions
  readonly clock: Clock
  readonly random: Random
  readonly checksum: Checksum
  readonly handler: TransportHandler
  readonly notices: Notices
  /** Who this server is; replaced when the cluster's id becomes known. */
  identity: TransportIdentity
}
