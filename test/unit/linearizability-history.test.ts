import { describe, expect, it } from 'vitest'
import { ActorumError } from '../../src/errors.js'
import { formatHistory, parseHistory } from '../../src/testing/linearizability/json-lines.js'
import { HistoryRecorder } from '../../src/testing/linearizability/recorder.js'

const line = (fields: object): string => {
  return JSON.stringify({
    client: 'a',
    op: 'get',
    key: 'x',
    input: null,
    output: null,
    call: 0,
    return: 1,
    outcome: 'ok',
    ...fields,
  })
}

describe('a history in JSON lines', () => {
  it('has a line for each operation, with null for a return that never came', () => {
    const text = formatHistory([
      { client: 'a', op: 'put', key: 'x', input: '1', output: 7, call: 0, return: 5, outcome: 'ok' },
      { client: 'b', op: 'delete', key: 'x', input: null, output: null, call: 2, return: Infinity, outcome: 'unknown' },
    ])
    expect(text).toBe(
      '{"client":"a","op":"put","key":"x","input":"1","output":7,"call":0,"return":5,"outcome":"ok"}\n' +
        '{"client":"b","op":"delete","key":"x","input":null,"output":null,"call":2,"return":null,"outcome":"unknown"}\n',
    )
    expect(formatHistory(parseHistory(text))).toBe(text)
  })

  it('passes over blank lines', () => {
    expect(parseHistory(`\n${line({})}\n\n`)).toHaveLength(1)
  })

  it.each([
    ['what is not JSON', '{', 'it is not JSON'],
    ['what is no object', '[]', 'an operation is an object'],
    ['a client that is no string', line({ client: 3 }), 'client is a string; found 3'],
    ['an outcome it does not know', line({ outcome: 'fine' }), 'outcome is ok, failed or unknown; found "fine"'],
    ['an operation it does not know', line({ op: 'scan' }), 'op is put, get, delete or cas; found "scan"'],
    ['a return before the call', line({ call: 5 }), 'it returned at 1, before its call at 5'],
    ['a time that is none', line({ call: -1 }), 'call is a time from 0; found -1'],
    ['an unknown outcome with a return', line({ outcome: 'unknown' }), 'an unknown outcome has no return; found 1'],
    [
      'a failure with an output',
      line({ outcome: 'failed', output: '1' }),
      'only an ok operation has an output; found "1"',
    ],
    ['a put of no value', line({ op: 'put' }), 'put takes a string; found null'],
    ['a delete that says nothing', line({ op: 'delete' }), 'delete returns { deleted, revision? }; found null'],
    ['a swap of nothing', line({ op: 'cas', output: true }), 'cas takes { expected, value }; found null'],
    ['a revision that is none', line({ seen: 1.5 }), 'seen is a revision; found 1.5'],
  ])('refuses %s, and says on which line', (_, wrong, fault) => {
    const parse = () => parseHistory(`${line({})}\n${wrong}`)
    expect(parse).toThrow(ActorumError)
    expect(parse).toThrow(`line 2 of the history is no operation: ${fault}`)
  })
})

describe('the recorder', () => {
  it('keeps the order of what happens within one tick of the clock', () => {
    const recorder = new HistoryRecorder(() => 1000)
    const put = recorder.call({ op: 'put', client: 'a', key: 'x', input: '1' })
    put.ok(4)
    recorder
      .call({ op: 'get', client: 'a', key: 'x', input: null, consistency: 'eventual' })
      .ok('1', { server: '2', seen: 4 })
    recorder.call({ op: 'delete', client: 'b', key: 'x', input: null }).failed()
    expect(recorder.history()).toEqual([
      { client: 'a', op: 'put', key: 'x', input: '1', output: 4, call: 0, return: 1, outcome: 'ok' },
      {
        client: 'a',
        op: 'get',
        key: 'x',
        input: null,
        output: '1',
        call: 2,
        return: 3,
        outcome: 'ok',
        consistency: 'eventual',
        server: '2',
        seen: 4,
      },
      { client: 'b', op: 'delete', key: 'x', input: null, output: null, call: 4, return: 5, outcome: 'failed' },
    ])
  })

  it('takes a call that was never ended for one of unknown outcome', () => {
    const recorder = new HistoryRecorder(() => 0)
    recorder.call({ op: 'cas', client: 'a', key: 'x', input: { expected: null, value: '1' } })
    expect(recorder.history()[0]).toMatchObject({ outcome: 'unknown', return: Infinity, output: null })
  })
})
