import { describe, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import type { Durability } from '../../src/storage/ports.js'
import { MemoryDisk, MemoryLogStore } from '../../src/storage/memory-log-store.js'
import { hardStateSuite } from '../../src/testing/hard-state-suite.js'
import { logStoreSuite, type LogStoreSubject } from '../../src/testing/log-store-suite.js'
import { VirtualTime } from './virtual-time.js'

function subject(durability: Durability): LogStoreSubject {
  return {
    async place() {
      const disk = new MemoryDisk()
      const options = { durability, syncIntervalMs: 50, clock: new VirtualTime(), checksum: crc32 }
      return {
        store: () => new MemoryLogStore(disk, options),
        kill: async () => disk.kill(),
        dispose: async () => undefined,
      }
    },
  }
}

describe.each(['disk-first', 'mem-first'] as const)('the log store in memory, %s', (durability) => {
  for (const claim of [...logStoreSuite, ...hardStateSuite]) it(claim.name, () => claim.check(subject(durability)))
})
