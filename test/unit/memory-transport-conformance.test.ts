import { describe, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import { seededRandom } from '../../src/machines/time-and-chance.js'
import { transportSuite, type TransportSubject } from '../../src/testing/transport-suite.js'
import { NO_FAULTS, type LinkFaults } from '../../src/transport/link-faults.js'
import { MemoryNetwork } from '../../src/transport/memory-network.js'
import { VirtualTime } from './virtual-time.js'

function subject(faults: LinkFaults): TransportSubject {
  const clock = new VirtualTime()
  const network = new MemoryNetwork({ clock, random: seededRandom(1), checksum: crc32 })
  network.setFaults(faults)
  return {
    create: (id) => network.transport(id),
    address: (id) => `memory:${id}`,
    async until(condition, claim) {
      for (let step = 0; !condition(); step++) {
        if (step === 1000) throw new Error(`never came true: ${claim}`)
        clock.advance(1)
      }
    },
    async settle() {
      clock.advance(100)
    },
  }
}

describe('the transport in memory', () => {
  for (const claim of transportSuite) it(claim.name, () => claim.check(subject(NO_FAULTS)))
})

describe('the transport in memory, with delays that vary', () => {
  for (const claim of transportSuite) it(claim.name, () => claim.check(subject({ ...NO_FAULTS, delayMs: [0, 20] })))
})
