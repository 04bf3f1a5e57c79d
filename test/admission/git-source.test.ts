import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readGitUrl, readLocalPath } from '@pangolin/controller/admission/git-source';
import { refusalOf } from '@pangolin/controller/admission/refusal';

const rules = { localBase: '/base', allowLocalPaths: true, allowHosts: ['github.com', 'git.example:8443'] };

function answer(url: string, given = rules): string {
  try {
    const source = readGitUrl(url, given);
    return source.kind === 'local' ? `local ${source.path}` : `${source.protocol} ${source.url}`;
  } catch (error) {
    const refusal = refusalOf(error);
    assert.ok(refusal, `${url}: ${String(error)}`);
    assert.doesNotMatch(refusal.message + refusal.hint, /s3cret/, 'a credential is repeated');
    return refusal.code;
  }
}

test('addresses of repositories', () => {
  const rows = [
    ['./repo', 'local /base/repo'],
    ['.', 'local /base'],
    ['/abs/repo', 'local /abs/repo'],
    ['./a:b', 'local /base/a:b'],
    ['file:///abs/a%20b', 'local /abs/a b'],
    ['file://localhost/abs', 'local /abs'],
    ['file://evil.example/abs', 'UrlRefused'],
    ['file:///a%2Fb', 'UrlRefused'],
    ['https://github.com/a/b.git', 'https https://github.com/a/b.git'],
    ['https://GitHub.com/a/b', 'https https://GitHub.com/a/b'],
    ['https://github.com:444/a/b', 'HostRefused'],
    ['https://git.example:8443/a', 'https https://git.example:8443/a'],
    ['https://git.example/a', 'HostRefused'],
    ['https://evil.example/a', 'HostRefused'],
    ['https://github.com.evil.example/a', 'HostRefused'],
    ['https://github.com@evil.example/a', 'SecretInUrl'],
    ['https://user:s3cret@github.com/a', 'SecretInUrl'],
    ['https://s3cret@github.com/a', 'SecretInUrl'],
    ['https://github.com/a?token=s3cret', 'UrlRefused'],
    ['https:///a', 'HostRefused'],
    ['https://[::1]/a', 'UrlRefused'],
    ['ssh://git@github.com/a/b', 'ssh ssh://git@github.com/a/b'],
    ['ssh://-oProxyCommand=id/a', 'UrlRefused'],
    ['ssh://git:s3cret@github.com/a', 'SecretInUrl'],
    ['git@github.com:a/b.git', 'ssh git@github.com:a/b.git'],
    ['git@evil.example:a/b.git', 'HostRefused'],
    ['git@github.com:-a', 'UrlRefused'],
    ['http://github.com/a', 'UrlRefused'],
    ['git://github.com/a', 'UrlRefused'],
    ['ftp://github.com/a', 'UrlRefused'],
    ['ext::sh -c id', 'UrlRefused'],
    ['fd::17', 'UrlRefused'],
    ['https::https://github.com/a', 'UrlRefused'],
    ['--upload-pack=id', 'UrlRefused'],
    ['-', 'UrlRefused'],
    ['a\nb', 'UrlRefused'],
    ['https://github.com/a\u0000b', 'UrlRefused'],
  ] as const;
  for (const [url, expected] of rows) assert.equal(answer(url), expected, url);
});

test('local paths are read only where they are allowed', () => {
  const remote = { ...rules, allowLocalPaths: false };
  for (const url of ['.', '/abs', 'file:///abs']) assert.equal(answer(url, remote), 'LocalPathRefused', url);
  assert.throws(
    () => readLocalPath('.', remote),
    (error) => refusalOf(error)?.code === 'LocalPathRefused',
  );
  assert.equal(readLocalPath('../x', rules), '/x');
});
