import type { Mutant } from './mutant.js'

const REASON = 'a server stops only for a reason'
const UNSYNCED = 'no entry is acknowledged before it is durable'

/** Bugs in what is written when, and in what is believed afterwards. */
export const STORAGE_MUTANTS: readonly Mutant[] = [
  {
    name: 'calls a write done before it is synced',
    file: 'storage/record-log-store.ts',
    find: 'this.#disk.write(batch, !this.#outOfOrder, (error) => {',
    replace: 'this.#disk.write(batch, false, (error) => {',
    hunt: 'everything',
    runsMax: 10,
    laws: [UNSYNCED, 'no vote', 'no term'],
  },
  {
    name: 'does not sync terms and votes in mem-first mode',
    file: 'storage/record-log-store.ts',
    find: 'if (changed || hasConfiguration(plan)) return this.#syncWritten',
    replace: 'if (hasConfiguration(plan)) return this.#syncWritten',
    hunt: 'crashes in mem-first mode',
    runsMax: 3,
    laws: ['no vote', 'no term'],
  },
  {
    name: 'does not sync changes of the membership in mem-first mode',
    file: 'storage/record-log-store.ts',
    find: 'if (changed || hasConfiguration(plan)) return this.#syncWritten',
    replace: 'if (changed) return this.#syncWritten',
    hunt: 'a machine crashes once it has taken others in',
    runsMax: 1,
    laws: ['Leader Completeness', 'State Machine Safety', 'Configuration Safety'],
  },
  {
    name: 'writes entries, and the term that allows them in a second step',
    file: 'storage/record-log-store.ts',
    find: 'this.#disk.write(batch, !this.#outOfOrder, (error) => {',
    replace: [
      'this.#disk.write({ ...batch, serverRecord: undefined }, !this.#outOfOrder, () => undefined)',
      'this.#disk.write({ serverRecord, removed: [], runs: [] }, !this.#outOfOrder, (error) => {',
    ].join('\n    '),
    hunt: 'crashes',
    runsMax: 40,
    laws: [REASON, UNSYNCED],
  },
  {
    name: 'appends first and truncates in a second step',
    file: 'storage/record-log-store.ts',
    find: 'this.#disk.write(batch, !this.#outOfOrder, (error) => {',
    replace: [
      'if (batch.removed.length > 0) this.#disk.write({ ...batch, removed: [] }, true, () => undefined)',
      'this.#disk.write(batch.removed.length > 0 ? { ...batch, runs: [] } : batch, !this.#outOfOrder, (error) => {',
    ].join('\n    '),
    hunt: 'crashes',
    runsMax: 40,
    laws: [REASON, UNSYNCED],
  },
  {
    name: 'does not lower the watermark before it truncates',
    file: 'storage/record-log-store.ts',
    find: 'if (index >= open.watermark.lastIndex) return callback(undefined)',
    replace: 'if (checksum >= 0 || index >= open.watermark.lastIndex) return callback(undefined)',
    hunt: 'a machine crashes while it truncates',
    runsMax: 1,
    laws: [REASON],
  },
  {
    name: 'does not look at the watermark when it starts',
    file: 'storage/recovery.ts',
    find: '    this.#checkAgainstWatermark(record, mark)\n',
    replace: '',
    hunt: 'damage',
    runsMax: 20,
    laws: ['what was durable is recovered', 'a server never forgets'],
  },
  {
    name: 'believes a record that does not match its checksum',
    file: 'machines/entry-run.ts',
    find: "if (sum !== runChecksum(bytes, checksum)) return malformed('a run does not match its checksum')",
    replace: "if (sum < 0) return malformed('a run does not match its checksum')",
    hunt: 'damage',
    runsMax: 60,
    laws: ['what is recovered is what was written', 'what a server hears was said to it'],
  },
  {
    name: 'believes a record although the one before it is lost',
    file: 'storage/recovery.ts',
    find: [
      'if (key !== last.index + 1) return `the log before it ends at entry ${last.index}`',
      'if (run.previousChecksum !== last.checksum) return',
    ].join('\n    '),
    // Each of the two finds a gap by itself.
    replace: 'if (key <= last.index) return',
    hunt: 'damage',
    runsMax: 40,
    laws: ['a log has no gaps'],
  },
  {
    name: 'believes a record that is not chained to the one before',
    file: 'storage/recovery.ts',
    find: 'if (run.previousChecksum !== last.checksum) return',
    replace: 'if (run.previousChecksum < 0) return',
    hunt: 'a crash loses a truncation and keeps what follows it',
    runsMax: 1,
    laws: ['a log is a chain'],
  },
  {
    name: 'takes a frame for sound that does not match its checksum',
    file: 'transport/frame-header.ts',
    find: 'if (sum !== checksum(packed)) return',
    replace: 'if (checksum(packed) < 0 && sum > 0) return',
    hunt: 'everything',
    runsMax: 30,
    laws: ['what a server hears was said to it'],
  },
]
