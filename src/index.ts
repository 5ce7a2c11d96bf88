/** Actorum: an actor-model Raft framework. */
export { EmbeddedEngine, type EngineStatus, type Role, type RoleActor } from './engine.js'
export { ActorumError, type ErrorCode } from './errors.js'
export type { Bytes, ClientApi } from './client/client-api.js'
export type { CallOptions, Consistency, EngineOptions, Notice, ReadOptions } from './options.js'
export type { Member } from './machines/types.js'
