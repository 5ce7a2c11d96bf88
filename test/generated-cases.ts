import fc from 'fast-check'

/** Generated cases are the same each time, so that what has passed passes again; FAST_CHECK_SEED asks for others. */
const { FAST_CHECK_SEED: seed = '1' } = process.env
if (!Number.isInteger(Number(seed))) throw new Error(`FAST_CHECK_SEED is ${seed}; it must be an integer`)
fc.configureGlobal({ seed: Number(seed) })
