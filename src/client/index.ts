/** What a client of the cluster is, embedded or remote. */
export type { Bytes, ClientApi } from './client-api.js'
export type { CallOptions, Consistency, ReadOptions } from '../options.js'
export { ActorumError, type ErrorCode } from '../errors.js'
