import { deciding } from './deciding.ts';

export const reject = deciding('reject', 'Let an item that waits for a decision fail');
