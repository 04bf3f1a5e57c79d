import { pausing } from './pausing.ts';

export const resume = pausing('resume', 'Let a paused run or queue go on');
