import { describe, expect, it } from 'vitest'
import { kvCommands } from '../../src/state-machines/kv/commands.js'
import { compareAndSwap, del, encoded, put } from './kv-batch.js'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

describe('the format of key-value commands', () => {
  it('does not change: these bytes are in logs', () => {
    expect(hex(encoded(put('ab', 'xyz')))).toBe('11' + '00000002' + '6162' + '78797a')
    expect(hex(encoded(del('ab')))).toBe('12' + '6162')
    expect(hex(encoded(compareAndSwap('ab', 'x', 'yz')))).toBe('13' + '00000002' + '6162' + '00000001' + '78' + '797a')
    expect(hex(encoded(compareAndSwap('ab', undefined, 'yz')))).toBe('14' + '00000002' + '6162' + '797a')
  })

  it('tells a compare-and-swap that expects an empty value from one that expects no key', () => {
    expect(hex(encoded(compareAndSwap('a', '', 'v')))).not.toBe(hex(encoded(compareAndSwap('a', undefined, 'v'))))
  })

  it('is the same for a string and for its bytes, however long and wherever its first wide character', () => {
    for (const length of [0, 1, 23, 24, 25, 1023, 1024, 1025, 5000]) {
      for (const text of ['v'.repeat(length), 'v'.repeat(length) + 'ж', 'ж' + '😀'.repeat(length)]) {
        expect(hex(encoded(put('k' + text, text)))).toBe(hex(encoded(put(Buffer.from('k' + text), Buffer.from(text)))))
      }
    }
  })

  it('refuses a string without UTF-8 before anything is written', () => {
    expect(() => kvCommands.sizeOf(put('k', '\ud800'))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })
})
