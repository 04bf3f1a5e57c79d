import { pausing } from './pausing.ts';

export const pause = pausing('pause', 'Start nothing more of a run or a queue; what runs goes on');
