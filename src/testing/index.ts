/** What users put their own parts through: a simulated cluster and its judges, conformance suites, and in-memory twins. */
export { SimulatedCluster, type SimulationOptions } from './simulation/simulated-cluster.js'
export type { Incarnation, SimulatedServer } from './simulation/simulated-server.js'
export { VirtualWorld } from './simulation/virtual-world.js'
export { Violation } from './simulation/violation.js'
export { Dice } from './simulation/dice.js'
export {
  CHANGE_KINDS,
  describeFault,
  FAULT_KINDS,
  STEADY_KINDS,
  type Fault,
  type FaultKind,
  type Target,
} from './simulation/faults.js'
export type { Changes } from './simulation/change-plan.js'
export type { Coordination } from './simulation/coordination.js'
export { drawFault, drawPlan, type PlannedFault, type PlanOptions, type RunPlan } from './simulation/fault-plan.js'
export { Nemesis, type NemesisOptions } from './simulation/nemesis.js'
export { KvScenario, type KvScenarioOptions, type StoryLine } from './simulation/kv-scenario.js'
export { KvClient, type KvCall } from './simulation/kv-client.js'
export { NotLinearizable } from './simulation/kv-judgement.js'
export { fingerprint, formatStory, runPlan, type RunOptions, type RunResult } from './simulation/random-run.js'
export {
  COORDINATING_KINDS,
  cutPlan,
  shrink,
  type CoordinatingKind,
  type PlanCut,
  type Shrunk,
} from './simulation/shrink.js'

export {
  checkEventual,
  checkLinearizable,
  describeOperation,
  formatHistory,
  formatTimeline,
  HistoryRecorder,
  parseHistory,
} from './linearizability/index.js'
export type {
  AppliedWrite,
  CheckOptions,
  CompareAndSwap,
  Consistency,
  Delete,
  EventualVerdict,
  Get,
  Invocation,
  Operation,
  Outcome,
  Pending,
  Put,
  Revision,
  TimelineOptions,
  Undecided,
  Valid,
  Verdict,
  Violation as Disorder,
} from './linearizability/index.js'
export { stateMachineSuite, type StateMachineCheck, type StateMachineSubject } from './state-machine-suite.js'
export { transportSuite, type TransportClaim, type TransportSubject } from './transport-suite.js'
export { logStoreSuite, type LogStoreClaim, type LogStorePlace, type LogStoreSubject } from './log-store-suite.js'
export { hardStateSuite } from './hard-state-suite.js'
export {
  snapshotStoreSuite,
  type SnapshotStoreClaim,
  type SnapshotStorePlace,
  type SnapshotStoreSubject,
} from './snapshot-store-suite.js'

// The ports, and what their signatures name.
export type { CommandCodec, CommittedBatch, SnapshotSink, StateMachine } from '../state-machines/ports.js'
export type {
  JoinAnswer,
  JoinCallback,
  JoinRequest,
  Peer,
  Transport,
  TransportHandler,
  TransportIdentity,
} from '../transport/ports.js'
export type {
  Callback,
  Durability,
  InitialState,
  LogStore,
  LogStoreHandler,
  LogWrite,
  ReceiveOutcome,
  Recovered,
  SnapshotReader,
  SnapshotsFound,
  SnapshotStore,
  SnapshotWriter,
  StoredSnapshot,
} from '../storage/ports.js'
export type { EntryRun } from '../machines/entry-run.js'
export type { Message } from '../machines/messages.js'
export type {
  Boundary,
  Checksum,
  Configuration,
  EntryPlace,
  HardState,
  LogIndex,
  Member,
  ServerId,
  SnapshotId,
  Term,
  TermStart,
} from '../machines/types.js'
export { seededRandom, type Clock, type Random } from '../machines/time-and-chance.js'
export { MemoryNetwork } from '../transport/memory-network.js'
export type { Cut, LinkFaults } from '../transport/link-faults.js'
export { MemoryDisk, MemoryLogStore, type CrashOptions } from '../storage/memory-log-store.js'
export { MemorySnapshotDisk, MemorySnapshotStore } from '../storage/memory-snapshot-store.js'
