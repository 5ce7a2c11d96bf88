import { describe, it } from 'vitest'
import { hardStateSuite } from '../../src/testing/hard-state-suite.js'
import { logStoreSuite } from '../../src/testing/log-store-suite.js'
import { levelSubject } from './level-place.js'

describe.each(['disk-first', 'mem-first'] as const)('the log store on Level, %s', (durability) => {
  for (const claim of [...logStoreSuite, ...hardStateSuite]) it(claim.name, () => claim.check(levelSubject(durability)))
})
