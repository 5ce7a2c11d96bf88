import type { Mutant } from './mutant.js'

const REASON = 'a server stops only for a reason'
const LIVENESS = 'healed servers'
const STATE = 'a snapshot is the state that its log gives'
const IN_ORDER = 'entries are applied in order'
const INVARIANT = 'no server breaks an invariant'

/** Bugs in snapshots: what they hold, when they count, and what of the log goes for them. */
export const SNAPSHOT_MUTANTS: readonly Mutant[] = [
  {
    name: 'takes a snapshot with a configuration that is newer than its end (§7)',
    file: 'actors/snapshot-upkeep.ts',
    find: 'const boundary = { ...end, configuration: configurationAsOf(this.#ports.context(), end.index) }',
    replace: 'const boundary = { ...end, configuration: this.#ports.context().configurations.at(-1)!.configuration }',
    hunt: 'snapshots',
    runsMax: 40,
    laws: ['a snapshot holds the configuration as of its end'],
  },
  {
    name: 'compacts its log when it begins a snapshot, not when that is durable',
    file: 'actors/snapshot-policy.ts',
    find: 'this.#taking = end.index',
    replace: 'this.#taking = end.index\n      this.#ports.compact(end)',
    hunt: 'snapshots',
    runsMax: 10,
    laws: [REASON],
  },
  {
    name: 'compacts its log up to the newest snapshot, so that the one before is of no use',
    file: 'actors/snapshot-policy.ts',
    find: 'const [newest, previous] = this.#ports.snapshots.stored',
    replace: 'const [newest] = this.#ports.snapshots.stored\n    const previous = newest',
    hunt: 'the newest snapshot is damaged',
    runsMax: 1,
    laws: [REASON],
  },
  {
    name: 'deletes its snapshots before the next one is durable',
    file: 'storage/snapshot-store.ts',
    find: 'const stored = yield* own.commit()\n',
    replace: `for (const { id } of this.stored.length > 1 ? this.stored : []) {
      this.#catalogue.remove(id)
      yield* this.#remove(nameOf(id, 'complete'))
    }
    const stored = yield* own.commit()
`,
    hunt: 'a server dies while it takes a snapshot',
    runsMax: 1,
    laws: [REASON],
  },
  {
    name: 'calls its snapshot complete before that is synced',
    file: 'storage/snapshot-writer.ts',
    find: 'yield* file.append(trailer)\n    yield* file.sync()\n',
    replace: 'yield* file.append(trailer)\n',
    hunt: 'snapshots',
    runsMax: 10,
    laws: [REASON],
  },
  {
    name: 'calls a snapshot that it was sent complete before that is synced',
    file: 'storage/snapshot-intake.ts',
    find: 'yield* file.sync()\n    yield* this.close()\n',
    replace: 'yield* this.close()\n',
    hunt: 'a machine crashes once it has the snapshot that it was sent',
    runsMax: 1,
    laws: [REASON],
  },
  {
    name: 'puts a piece of a snapshot where its file ends, whatever place it is for',
    file: 'storage/snapshot-intake.ts',
    find: 'offset > file.length ? new Uint8Array() : bytes.subarray(file.length - offset)',
    replace: 'offset < 0 ? new Uint8Array() : bytes',
    hunt: 'pieces of a snapshot come twice',
    runsMax: 1,
    laws: ['no damage is found where there is none'],
  },
  {
    name: 'drops the entries behind a snapshot that it is sent, though its log has them (§7)',
    file: 'machines/snapshots.ts',
    find: 'if (termAt(log, boundary.index) === boundary.term) {',
    replace: 'if (termAt(log, boundary.index) === boundary.term && log.lastIndex === boundary.index) {',
    hunt: 'a snapshot ends within the log',
    runsMax: 1,
    laws: ['Leader Completeness', 'what was durable is recovered'],
  },
  {
    name: 'answers that a snapshot is installed before it has all of it',
    file: 'machines/snapshots.ts',
    find: 'if (snapshot.index <= context.commitIndex) {',
    replace:
      'if (snapshot.index <= context.commitIndex || message.offset + message.bytes.length >= snapshot.byteLength) {',
    hunt: 'snapshots',
    runsMax: 20,
    laws: ['no entry is acknowledged before it is durable', LIVENESS],
  },
  {
    name: 'offers a snapshot no second time, though nothing is heard of the first',
    file: 'actors/snapshot-streams.ts',
    find: 'if (this.#isCurrent(stream)) this.#offer(stream)',
    replace: 'if (!this.#isCurrent(stream)) this.#offer(stream)',
    hunt: 'snapshots',
    runsMax: 60,
    laws: [LIVENESS],
  },
  {
    name: 'does not know how far its state has come after it was restored',
    file: 'actors/apply-actor.ts',
    find: 'this.#isRestoring = false\n    this.#end = end\n',
    replace: 'this.#isRestoring = false\n    this.#end = { ...end, index: this.#end.index }\n',
    hunt: 'snapshots',
    runsMax: 10,
    laws: [IN_ORDER, LIVENESS, INVARIANT],
  },
  {
    name: "goes on applying entries while its state becomes a snapshot's",
    file: 'actors/apply-actor.ts',
    find: 'this.#isRestoring = true\n',
    replace: '',
    hunt: 'snapshots',
    runsMax: 10,
    laws: [INVARIANT, 'a state never goes back', IN_ORDER, LIVENESS, STATE],
  },
  {
    name: 'empties its state when a restore begins, not when that ends',
    file: 'state-machines/kv/key-value-store.ts',
    find: 'let reader: SnapshotReader | undefined = new SnapshotReader(this.#limits, this.#watchers)\n',
    replace: `let reader: SnapshotReader | undefined = new SnapshotReader(this.#limits, this.#watchers)
    const keyspace = new Keyspace(this.#limits, this.#watchers)
    this.#replace({ keyspace, sessions: new Sessions(), revision: this.revision })
`,
    hunt: 'a state that is being replaced is read',
    runsMax: 1,
    laws: ['an eventual read sees'],
  },
  {
    name: 'leaves the results of sessions out of its snapshots',
    file: 'state-machines/kv/snapshot.ts',
    find: 'section(RESULTS, () => resultsOf(sessionsNow), writeKeptResult),',
    replace: 'section(RESULTS, () => resultsOf([]), writeKeptResult),',
    hunt: 'a command of a session comes again after a restart',
    runsMax: 1,
    laws: ['the same log gives the same state'],
  },
  {
    name: 'gives leases their whole time again when it restores them',
    file: 'state-machines/kv/snapshot.ts',
    find: 'this.#keyspace.leases.grant(id, ttlMs, deadline)',
    replace: 'this.#keyspace.leases.grant(id, ttlMs, deadline + ttlMs)',
    hunt: 'leases and snapshots',
    runsMax: 10,
    laws: [STATE, 'who watches'],
  },
]
