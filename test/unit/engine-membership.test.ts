import { describe, expect, it } from 'vitest'
import { type MembershipChangeRequest, validateChange } from '../../src/engine-membership.js'
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

  it('is told what was given where that is of the wrong kind', () => {
    const wrong: [unknown, string][] = [
      [{ remove: ['2'] }, 'remove is ["2"]; it must be a list of server ids: integers from 1 to'],
      [{ addLearners: 4 }, 'addLearners is 4; it must be a list of { id, address, promotable }'],
      [{ addLearners: [{ id: '4', address: '4:1' }] }, 'addLearners[0].id is "4"; it must be an integer from 1 to'],
      [{ addresses: [{ id: 4, address: 'nowhere' }] }, 'addresses[0].address is "nowhere"; it must be host:port'],
      [{ force: 'yes' }, 'force is "yes"; it must be true or false; the membership was not changed'],
    ]
    for (const [change, message] of wrong) {
      expect(() => validateChange(change as MembershipChangeRequest, context)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(message) as string }),
      )
    }
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
