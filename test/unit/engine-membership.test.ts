import { describe, expect, it } from 'vitest'
import { validateChange } from '../../src/engine-membership.js'
import { Machine } from '../machine-harness.js'

const members = [1, 2, 3, 4].map((id) => ({ id, address: `${id}:1` }))
const { context } = new Machine({ configuration: { voters: [1, 2, 3], learners: [4], members } })

describe('a change of the membership, asked for on a server that may be behind,', () => {
  it('goes to the leader where this server takes the one to be demoted for a learner', () => {
    expect(validateChange({ demote: [4] }, context)).toMatchObject({ learners: [{ id: 4, address: '4:1' }] })
  })

  it('goes to the leader where this server takes the one to be added for a voter', () => {
    const learners = [{ id: 2, address: 'two:1', promotable: true }]
    expect(validateChange({ addLearners: [{ id: 2, address: 'two:1' }] }, context)).toMatchObject({ learners })
  })

  it('is refused where this server does not know the one to be demoted, and says that it may be behind', () => {
    expect(() => validateChange({ demote: [9] }, context)).toThrow(
      expect.objectContaining({
        code: 'REFUSED',
        message: expect.stringContaining('server 9 is no member as far as this server knows') as string,
      }),
    )
  })
})
