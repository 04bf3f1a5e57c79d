import { deciding } from './deciding.ts';

export const approve = deciding('approve', 'Let an item that waits for a decision succeed');
