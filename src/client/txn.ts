import type { CallOptions } from '../options.js'
import type {
  CompareAndSwapCommand,
  DeleteCommand,
  DeleteRangeCommand,
  GetCommand,
  KvCompare,
  KvNumber,
  KvOperation,
  KvRelation,
  LeaseId,
  PutCommand,
  RangeCommand,
  TxnCommand,
} from '../state-machines/kv/commands.js'
import { bytesOfChars } from '../state-machines/kv/keys.js'
import type { LogIndex } from '../machines/types.js'
import type {
  CompareAndSwapResult,
  DeleteRangeResult,
  DeleteResult,
  GetResult,
  PutResult,
  RangeResult,
  TxnResult,
} from '../state-machines/kv/results.js'
import { checkNames } from '../options.js'
import { checkedFlag, copyOfBytes, invalid, leaseIdOf, putTerms, wantsPrevious } from './call-checks.js'
import type { Bytes, DeleteOptions, KeySelector, PutOptions, RangeOptions } from './client-api.js'
import { rangeOf, rangeOfBounds } from './selectors.js'

/** What a transaction's operations may be: `op` makes them. */
export type Operations = readonly KvOperation[]
/** What a transaction compares: `compare` makes it. */
export type Comparison = KvCompare

/** A transaction within another. */
export interface NestedTxn<Then extends Operations, Else extends Operations> extends TxnCommand {
  readonly then: Then
  readonly else: Else
}

/** What an operation comes to. */
export type OperationAnswer<Operation> = Operation extends PutCommand
  ? PutResult
  : Operation extends DeleteCommand
    ? DeleteResult
    : Operation extends CompareAndSwapCommand
      ? CompareAndSwapResult
      : Operation extends DeleteRangeCommand
        ? DeleteRangeResult
        : Operation extends GetCommand
          ? GetResult
          : Operation extends RangeCommand
            ? RangeResult
            : Operation extends NestedTxn<infer Then, infer Else>
              ? TxnAnswer<Then, Else>
              : never

/** One an operation, in their order. */
export type Answers<Given extends Operations> = { readonly [At in keyof Given]: OperationAnswer<Given[At]> }

/** Which branch was taken, what its operations came to, and the revision of all of it. */
export type TxnAnswer<Then extends Operations, Else extends Operations> =
  | { readonly succeeded: true; readonly results: Answers<Then>; readonly revision: LogIndex }
  | { readonly succeeded: false; readonly results: Answers<Else>; readonly revision: LogIndex }

/**
 * A transaction: `if`, `then` and `else` in this order, each at most once, and at last `commit`. Nothing happens before.
 * Each call gives a transaction of its own and leaves the one before as it is. It is no promise though it has a `then`:
 * awaiting one rejects with INVALID_ARGUMENT.
 */
export interface Txn extends TxnAfterIf {
  /** All of these must hold. Without any, they do. */
  if(...comparisons: readonly Comparison[]): TxnAfterIf
}

export interface TxnAfterIf extends TxnAfterThen<[]> {
  /** What is done if all comparisons hold. */
  then<Given extends Operations>(...operations: Given): TxnAfterThen<Given>
}

export interface TxnAfterThen<Then extends Operations> extends TxnToCommit<Then, []> {
  /** What is done if not. */
  else<Given extends Operations>(...operations: Given): TxnToCommit<Then, Given>
}

export interface TxnToCommit<Then extends Operations, Else extends Operations> {
  /**
   * Proposes all of it as one command: either all of the branch taken is done, at one revision, or nothing.
   * @throws ActorumError LEASE_NOT_FOUND: a lease that it names, in either branch, is gone; nothing was done. TOO_LARGE
   */
  commit(options?: CallOptions): Promise<TxnAnswer<Then, Else>>
}

type Propose = (command: TxnCommand, options: CallOptions | undefined) => Promise<TxnResult>

const STAGES = ['if', 'then', 'else'] as const

/** @param propose - checks the command and proposes it */
export function buildTxn(propose: Propose): Txn {
  return new TxnBuilder<[], []>(propose, { type: 'txn', compares: [], then: [], else: [] }, 0)
}

class TxnBuilder<Then extends Operations, Else extends Operations> {
  readonly #propose: Propose
  readonly #command: NestedTxn<Then, Else>
  /** How many of the stages are behind it. */
  readonly #stage: number

  constructor(propose: Propose, command: NestedTxn<Then, Else>, stage: number) {
    this.#propose = propose
    this.#command = command
    this.#stage = stage
  }

  if(...compares: readonly Comparison[]): TxnBuilder<Then, Else> {
    return new TxnBuilder(this.#propose, { ...this.#command, compares }, this.#past('if'))
  }

  then<Given extends Operations>(...operations: Given): TxnBuilder<Given, Else> {
    if (typeof operations[0] === 'function') {
      throw invalid('a transaction is no promise, and nothing of it was done; call commit() and await that')
    }
    return new TxnBuilder(this.#propose, { ...this.#command, then: operations }, this.#past('then'))
  }

  else<Given extends Operations>(...operations: Given): TxnBuilder<Then, Given> {
    return new TxnBuilder(this.#propose, { ...this.#command, else: operations }, this.#past('else'))
  }

  #past(stage: (typeof STAGES)[number]): number {
    const at = STAGES.indexOf(stage)
    if (at >= this.#stage) return at + 1
    throw invalid(`${stage} comes too late; a transaction's if, then and else come once each, in this order`)
  }

  async commit(options?: CallOptions): Promise<TxnAnswer<Then, Else>> {
    const result = await this.#propose(this.#command, options)
    // Each result has the shape of its operation.
    return result as TxnAnswer<Then, Else>
  }
}

/**
 * What a transaction may compare, with the key's on the left. A key that does not exist has the numbers 0 and no value,
 * so that comparing its value never holds.
 */
export const compare = {
  /** Values are ordered by their bytes. */
  value: (key: Bytes, relation: KvRelation, value: Bytes): Comparison => {
    return { key: copyOfBytes(key), target: 'value', relation, operand: copyOfBytes(value) }
  },
  /** Writes of the key since it was made. */
  version: (key: Bytes, relation: KvRelation, version: number) => ofNumber(key, 'version', relation, version),
  createRevision: (key: Bytes, relation: KvRelation, revision: LogIndex) => {
    return ofNumber(key, 'createRevision', relation, revision)
  },
  modRevision: (key: Bytes, relation: KvRelation, revision: LogIndex) => {
    return ofNumber(key, 'modRevision', relation, revision)
  },
  /** 0: no lease, or a time to live of its own. */
  lease: (key: Bytes, relation: KvRelation, lease: LeaseId | { readonly id: LeaseId }) => {
    return ofNumber(key, 'lease', relation, lease === 0 ? 0 : leaseIdOf(lease))
  },
  exists: (key: Bytes) => ofNumber(key, 'version', '>', 0),
  missing: (key: Bytes) => ofNumber(key, 'version', '=', 0),
}

function ofNumber(key: Bytes, target: KvNumber, relation: KvRelation, operand: number): Comparison {
  return { key: copyOfBytes(key), target, relation, operand }
}

type PutTerms = Pick<PutOptions, 'lease' | 'ttlMs' | 'previous'>
type DeleteTerms = Pick<DeleteOptions, 'previous'>
type RangeTerms = Pick<RangeOptions, 'limit' | 'reverse' | 'keysOnly' | 'countOnly'>

/** A transaction to be put within another. */
export interface TxnParts<Then extends Operations, Else extends Operations> {
  readonly if?: readonly Comparison[]
  readonly then?: Then
  readonly else?: Else
}

/** What a transaction may do. Each operation sees what those before it wrote. Buffers and lists given are copied. */
export const op = {
  put: (key: Bytes, value: Bytes, options?: PutTerms): PutCommand => {
    return { type: 'put', key: copyOfBytes(key), value: copyOfBytes(value), ...putTerms(options, []) }
  },
  delete: (key: Bytes, options?: DeleteTerms): DeleteCommand => {
    return { type: 'delete', key: copyOfBytes(key), wantPrevious: wantsPrevious(options, []) }
  },
  deleteRange: (keys: KeySelector, options?: DeleteTerms): DeleteRangeCommand => {
    const { from, to } = rangeOf(keys, Infinity)
    const wantPrevious = wantsPrevious(options, [])
    return { type: 'deleteRange', from: bytesOfChars(from), to: to && bytesOfChars(to), wantPrevious }
  },
  get: (key: Bytes): GetCommand => ({ type: 'get', key: copyOfBytes(key) }),
  /** At most `limit` entries: 1 to 10,000, which is also the default. */
  range: (query: KeySelector & RangeTerms): RangeCommand => {
    const given: unknown = query
    checkNames(given, "the range's options", [
      'key',
      'prefix',
      'from',
      'to',
      'limit',
      'reverse',
      'keysOnly',
      'countOnly',
    ])
    const { from, to } = rangeOfBounds(query, Infinity)
    return {
      type: 'range',
      from: bytesOfChars(from),
      to: to && bytesOfChars(to),
      limit: query.limit,
      reverse: checkedFlag('reverse', query.reverse),
      keysOnly: checkedFlag('keysOnly', query.keysOnly),
      countOnly: checkedFlag('countOnly', query.countOnly),
    }
  },
  /** Sets a key, as `put` does, if its value is the expected one; undefined: if there is no such key. */
  compareAndSwap: (key: Bytes, expected: Bytes | undefined, value: Bytes): CompareAndSwapCommand => {
    return {
      type: 'compareAndSwap',
      key: copyOfBytes(key),
      expected: expected === undefined ? undefined : copyOfBytes(expected),
      value: copyOfBytes(value),
    }
  },
  /** A transaction within this one: `op.txn({ if: […], then: […], else: […] })`. At most 8 deep. */
  txn: <const Then extends Operations = [], const Else extends Operations = []>(
    parts: TxnParts<Then, Else>,
  ): NestedTxn<Then, Else> => nested(parts),
}

function nested<Then extends Operations, Else extends Operations>(parts: TxnParts<Then, Else>): NestedTxn<Then, Else> {
  const given: unknown = parts
  checkNames(given, 'the transaction', ['if', 'then', 'else'])
  // What is not given is empty, as its type then says.
  return {
    type: 'txn',
    compares: copyOfList(parts.if) ?? [],
    then: copyOfList(parts.then) ?? ([] as Operations as Then),
    else: copyOfList(parts.else) ?? ([] as Operations as Else),
  }
}

/** What is no list is refused when the transaction is committed. */
function copyOfList<List extends readonly unknown[]>(list: List | undefined): List | undefined {
  const given: unknown = list
  // A copy has the same elements, and so the same type.
  return Array.isArray(given) ? (Array.from<unknown>(given) as readonly unknown[] as List) : list
}
