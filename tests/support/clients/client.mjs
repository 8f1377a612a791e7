// node client.mjs URL BODY_FILE HEADERS_AS_JSON HOW: prints the status of each of 3 POSTs, or why it was lost.
import { readFileSync } from 'node:fs';
const [url, file, headers, how] = process.argv.slice(2);
const bytes = readFileSync(file);
for (let i = 0; i < 3; i++) {
  const body = how === 'blob' ? new Blob([bytes]) : bytes;
  try {
    const answer = await fetch(url, { method: 'POST', body, headers: JSON.parse(headers) });
    await answer.text();
    console.log(answer.status);
  } catch (error) {
    console.log('lost: ' + (error.cause?.code ?? error.message));
  }
}
