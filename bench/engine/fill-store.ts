import type { KvCommand } from '../../src/state-machines/kv/commands.js'
import type { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import type { Writes } from './bulk-write.js'
import { keyOf, Values } from './values.js'

const COMMANDS_PER_BATCH = 100

/** Applies the commands of these writes, so that the state's own size can be told from what else a server holds. */
export function fillStore(store: KeyValueStore, { entries, keys, valueBytes, ttlMs }: Writes): void {
  const values = new Values(valueBytes)
  for (let sequence = 0; sequence < entries; sequence += COMMANDS_PER_BATCH) {
    const count = Math.min(COMMANDS_PER_BATCH, entries - sequence)
    const commands = Array.from({ length: count }, (_, at): KvCommand => {
      return { type: 'put', key: keyOf((sequence + at) % keys), value: values.of(sequence + at), ttlMs }
    })
    apply(store, commands, sequence + 1)
  }
}

function apply(store: KeyValueStore, commands: readonly KvCommand[], firstIndex: number): void {
  const sizes = commands.map((command) => store.commands.sizeOf(command))
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0))
  const bounds = new Uint32Array(commands.length * 2)
  let at = 0
  commands.forEach((command, place) => {
    store.commands.write(command, bytes, at)
    bounds[2 * place] = at
    at += sizes[place]!
    bounds[2 * place + 1] = at
  })
  const batch = { firstIndex, term: 1, count: commands.length, clusterTime: 0, wallTime: 0, bytes, bounds }
  store.apply({ ...batch, resultsWanted: false })
}
