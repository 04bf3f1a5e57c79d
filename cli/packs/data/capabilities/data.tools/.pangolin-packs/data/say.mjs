// What an item yields for programs (`output`, by its shape) and for people.
import { writeFileSync } from 'node:fs';

export function say(summary, output) {
  console.log(summary);
  writeFileSync('.pangolin/output.json', JSON.stringify({ summary, output }));
}
