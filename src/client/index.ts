/** What a client of the cluster is, embedded or remote. */
export type {
  Bytes,
  CausalOptions,
  CausalView,
  ClientApi,
  DeleteAnswer,
  DeleteOptions,
  DeleteRangeAnswer,
  KeyReadOptions,
  KeySelector,
  Lease,
  LeaseOptions,
  LeaseStatus,
  PutAnswer,
  PutOptions,
  RangeOptions,
  RangePage,
  ScanResult,
  Session,
  SessionOptions,
} from './client-api.js'
export type { ClusterMember, Membership } from './cluster-view.js'
export {
  compare,
  op,
  type Answers,
  type Comparison,
  type NestedTxn,
  type OperationAnswer,
  type Operations,
  type Txn,
  type TxnAfterIf,
  type TxnAfterThen,
  type TxnAnswer,
  type TxnParts,
  type TxnToCommit,
} from './txn.js'
export type { Change, Observation, ObserveEvent, Watch, WatchEvent, WatchOptions } from './watch-api.js'
export type { LeaseId, SessionId } from '../state-machines/kv/commands.js'
export type { KvEntry } from '../state-machines/kv/results.js'
export type { CallOptions, Consistency, ReadOptions } from '../options.js'
export { ActorumError, type ErrorCode } from '../errors.js'
export * from './recipes/index.js'
