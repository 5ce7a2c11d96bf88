import { createActor, type Actor } from 'xstate'
import type { LogIndex } from '../machines/types.js'
import { swiftRaftMachine } from '../machines/shortcuts.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { LoopClock } from './loop-clock.js'
import type { RaftServerOptions } from './raft-server-ports.js'

export interface RoleActorSetup {
  readonly options: RaftServerOptions
  readonly clock: Clock
  /** By which its own timers go. */
  readonly timers: LoopClock
  /** Of the newest snapshot; 0 without. */
  readonly snapshotIndex: LogIndex
  readonly seed: number
}

/** The role machine of one start of a server, as its disk left it. Not started yet. */
export function createRoleActor(setup: RoleActorSetup): Actor<typeof swiftRaftMachine> {
  const { clock, timers, snapshotIndex, seed } = setup
  const { id, settings, recovered, proposedClusterId } = setup.options
  const { boundary, lastIndex, lastChecksum, lastClusterTime, termStarts, configurations, hardState } = recovered
  return createActor(swiftRaftMachine, {
    id: `raft-${id}`,
    clock: timers,
    input: {
      id,
      settings,
      seed,
      now: clock.now(),
      wallTime: clock.wallTime(),
      hardState,
      log: { boundary, lastIndex, lastChecksum, lastClusterTime, termStarts },
      configurations,
      commitIndex: snapshotIndex,
      clusterId: recovered.clusterId ?? proposedClusterId,
      storeId: recovered.storeId,
    },
  })
}
