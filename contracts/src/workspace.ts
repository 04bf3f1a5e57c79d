/** What an item starts from: as users write it, and pinned to bytes. */
import Type, { type Static } from 'typebox';
import { closed, Hex, Size, type Frozen } from './fragments.ts';

export const COMMIT_PATTERN = '^[0-9a-f]{7,64}$';
export const DIGEST_PATTERN = '^sha256:[0-9a-f]{64}$';

export const Workspace = Type.Union(
  [
    Type.Object(
      {
        git: Type.Object(
          {
            url: Type.String({
              minLength: 1,
              maxLength: 4096,
              description:
                'A local path (folder storage only) or an allowed remote. Uncommitted changes are not part of it: use `path`.',
            }),
            commit: Type.Optional(
              Type.String({ pattern: COMMIT_PATTERN, description: 'A commit, shortened or in full.' }),
            ),
            ref: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 255,
                description: 'A branch or tag; pinned to its commit at admission.',
              }),
            ),
          },
          closed,
        ),
      },
      closed,
    ),
    Type.Object(
      { ref: Type.String({ pattern: DIGEST_PATTERN, description: 'A workspace pack that is in cas/ already.' }) },
      closed,
    ),
    Type.Object(
      {
        path: Type.String({
          minLength: 1,
          maxLength: 4096,
          description: 'A local folder as it is now (folder storage only), without .git and what .gitignore ignores.',
        }),
      },
      closed,
    ),
  ],
  { description: 'What the item starts from: { git: … }, { path: … } or { ref: … }. Without one, an empty directory.' },
);
export type Workspace = Static<typeof Workspace>;

/**
 * A workspace pinned to bytes in cas/: a git pack that holds exactly one commit (no history) and its trees and blobs.
 * A plain folder becomes such a pack too, under a commit with fixed author and dates; `url` says where it came from.
 */
export const PinnedWorkspace = Type.Object(
  {
    kind: Type.Literal('git'),
    url: Type.Optional(Type.String()),
    commit: Type.String({ pattern: '^([0-9a-f]{40}|[0-9a-f]{64})$' }),
    sha256: Hex,
    size: Size,
  },
  closed,
);
export type PinnedWorkspace = Frozen<Static<typeof PinnedWorkspace>>;
