/** The package's own types for this entry lead nowhere under NodeNext. */
declare module 'msgpackr/pack' {
  export { Packr, RESERVE_START_SPACE } from 'msgpackr'
}
