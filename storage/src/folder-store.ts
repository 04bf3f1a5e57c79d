/**
 * The storage prefix as a folder.
 *
 * - Writing is: a temporary file, fsync, then link (create only) or rename (replace), then fsync of the
 *   directory. A reader, and a machine that lost power, sees the old object or the new one.
 * - Create-only is decided by link(2). What replaces or deletes an object holds the lock of its key, so
 *   comparing and swapping is one step for every process on this machine. Folders on network file systems
 *   shared by several machines are as good as that file system's POSIX locks.
 * - Digests are computed from the bytes in the file. Nothing beside it says what they should be.
 * - Only regular files are objects; see folder-files.ts for how links are kept out.
 *
 * Files that others drop into the folder, as `cp spec.yaml inbox/` does, appear before they are complete, and
 * `watch` calls back at once. Who reads such a file takes it only when two `head` calls some tenths of a
 * second apart return the same etag, and looks again later otherwise. Whoever renames files into place, as
 * `put` does, is not affected.
 */
import { createHash } from 'node:crypto';
import { link, lstat, mkdir, realpath, rename, rm, unlink, type FileHandle } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { sha256, sha256Stream, type Sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { SharedMutex } from './file-lock.ts';
import { directoryOf, inDirectory, nameOf, openFile, type Directory } from './folder-files.ts';
import { listFolder } from './folder-list.ts';
import { TempFiles, type TempFile } from './folder-temp.ts';
import { FolderWatch } from './folder-watch.ts';
import { errnoOf, fsError, isMissing } from './fs-errors.ts';
import { assertKey, assertPrefix, PRIVATE_SEGMENT } from './keys.ts';
import type { ListPage, ObjectInfo, ObjectStore, PutOptions } from './object-store.ts';
