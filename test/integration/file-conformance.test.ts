import { describe, it } from 'vitest'
import { hardStateSuite } from '../../src/testing/hard-state-suite.js'
import { logStoreSuite } from '../../src/testing/log-store-suite.js'
import { fileSubject, SEGMENT_BYTES } from './file-place.js'

describe.each(['disk-first', 'mem-first'] as const)('the log store on segment files, %s', (durability) => {
  // A segment shorter than one batch, and one that holds many.
  describe.each([512, SEGMENT_BYTES, 256 * 1024])('in segments of %i bytes', (segmentBytes) => {
    for (const claim of [...logStoreSuite, ...hardStateSuite]) {
      it(claim.name, () => claim.check(fileSubject({ durability, segmentBytes })))
    }
  })
})
