import type { LogIndex } from '../../machines/types.js'
import type { Keyspace } from './keyspace.js'
import type { Sessions } from './sessions.js'

/** All that is replicated. */
export interface KvState {
  readonly keyspace: Keyspace
  readonly sessions: Sessions
  /** Log index of the last command applied. */
  revision: LogIndex
}
