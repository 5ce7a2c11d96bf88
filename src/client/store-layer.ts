import type { Observable } from 'rxjs'
import type { Clock } from '../machines/time-and-chance.js'
import type { LogIndex, ServerId } from '../machines/types.js'
import type { CallOptions, Consistency, ReadOptions } from '../options.js'
import type { KvCommand } from '../state-machines/kv/commands.js'
import type { KeyChars, KeyRange } from '../state-machines/kv/keys.js'
import type { ClusterMember, Membership } from './cluster-view.js'
import type {
  Caller,
  CommandResult,
  Reader,
  StoreAnswers,
  StoreLimits,
  StoreListener,
  StorePort,
  StoreQuery,
} from './store-port.js'

/** A store that lies over another one, to which it leaves everything: each kind overrides what it does otherwise. */
export abstract class StoreLayer implements StorePort {
  protected readonly below: StorePort

  constructor(below: StorePort) {
    this.below = below
  }

  get limits(): StoreLimits {
    return this.below.limits
  }

  get clock(): Clock {
    return this.below.clock
  }

  assertOpen(): void {
    this.below.assertOpen()
  }

  propose(command: KvCommand, options: CallOptions | undefined, caller: Caller<CommandResult>): void {
    this.below.propose(command, options, caller)
  }

  read<Query extends StoreQuery>(
    query: Query,
    options: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Query['type']]>,
  ): void {
    this.below.read(query, options, reader)
  }

  getValue(key: KeyChars, options: ReadOptions | undefined, consistency: Consistency): Promise<Uint8Array | undefined> {
    return this.below.getValue(key, options, consistency)
  }

  get appliedRevision(): LogIndex {
    return this.below.appliedRevision
  }

  get seenRevision(): LogIndex {
    return this.below.seenRevision
  }

  watch(range: KeyRange, listener: StoreListener): () => void {
    return this.below.watch(range, listener)
  }

  refresh(options: CallOptions | undefined, caller: Caller<void>): void {
    this.below.refresh(options, caller)
  }

  members(): readonly ClusterMember[] {
    return this.below.members()
  }

  leaderId(): ServerId | undefined {
    return this.below.leaderId()
  }

  membership$(): Observable<Membership> {
    return this.below.membership$()
  }
}
