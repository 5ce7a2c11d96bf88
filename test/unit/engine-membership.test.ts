import { describe, expect, it } from 'vitest'
import type { Membership } from '../../src/client/cluster-view.js'
import { ClusterFeed, type MembershipChangeRequest, validateChange } from '../../src/engine-membership.js'
import { decodeChange, encodeChange } from '../../src/transport/membership-change.js'
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
      [
        { addresses: [{ id: 4, address: '0.0.0.0:1' }] },
        'addresses[0].address is "0.0.0.0:1", every address of a machine',
      ],
      [{ force: 'yes' }, 'force is "yes"; it must be true or false; the membership was not changed'],
    ]
    for (const [change, message] of wrong) {
      expect(() => validateChange(change as MembershipChangeRequest, context)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(message) as string }),
      )
    }
  })

  it('is what was asked for, whatever the caller does with his lists after that', () => {
    const place = { id: 2, address: 'two:2' }
    const learner = { id: 9, address: 'nine:1' }
    const lists = { addLearners: [learner], promote: [4], demote: [3], remove: [1], addresses: [place] }
    const change = validateChange(lists, context)
    const asked = structuredClone(change)
    Object.assign(place, { address: null })
    Object.assign(learner, { id: null })
    for (const list of Object.values(lists)) list.length = 0
    expect(change).toEqual(asked)
  })

  it('asks for nothing that other servers cannot be told', () => {
    const longest = `${'h'.repeat(250)}:65535`
    const added = Array.from({ length: 1020 }, (_, at) => ({ id: at + 5, address: longest, promotable: false }))
    const ids = Array.from({ length: 1024 }, (_, at) => at + 1)
    const addresses = ids.map((id) => ({ id, address: longest }))
    const most = validateChange({ addLearners: added, promote: ids, remove: ids, addresses }, context)
    expect(decodeChange(encodeChange(most))).toEqual(most)
    const tooMuch: [MembershipChangeRequest, string][] = [
      [{ addresses: [{ id: 1, address: `h${longest}` }] }, 'it must be host:port, of at most 256 characters'],
      [{ addLearners: [{ id: 5, address: `[::1%${'z'.repeat(300)}]:1` }] }, 'of at most 256 characters'],
      [{ promote: [...ids, 1025] }, 'the ids in promote are 1025; at most 1024 are allowed'],
      [{ remove: [...ids, 1025] }, 'the ids in remove are 1025'],
      [{ addresses: [...addresses, addresses[0]!] }, 'the elements of addresses are 1025'],
      [{ addLearners: [...added, ...added] }, 'the elements of addLearners are 2040'],
      [{ addLearners: added, demote: [1, 1, 2, 2, 3] }, 'addLearners and demote together are 1025'],
    ]
    for (const [change, message] of tooMuch) {
      expect(() => validateChange(change, context)).toThrow(
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

describe('watchMembership', () => {
  it('begins with what was before a change that is half-way, as on a server that was stopped within one', () => {
    const { context: plain } = new Machine({ configuration: { voters: [1], learners: [8] } })
    const joint = { index: 3, configuration: { voters: [1, 8], votersOutgoing: [1], learners: [] } }
    const context = { ...plain, configurations: [...plain.configurations, joint] }
    const told: Membership[] = []
    const feed = new ClusterFeed(context)
    feed.membership$.subscribe((membership) => told.push(membership))
    feed.update(context)
    const whole = { index: 4, configuration: { voters: [1, 8], learners: [] } }
    feed.update({ ...context, configurations: [...context.configurations, whole] })
    expect(told).toMatchObject([
      { voters: [1], learners: [8], index: 0 },
      { voters: [1, 8], learners: [], index: 4 },
    ])
  })
})
