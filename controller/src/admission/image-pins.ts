/** Resolves every image that items name, once (law 7). */
import type { AdmittedItem, Inherited, PinnedImage } from '@pangolin/contracts/admitted-run';

export type ResolveImage = (image: string | undefined) => Promise<PinnedImage | undefined>;

export class ImagePins {
  readonly #resolve: ResolveImage;
  readonly #images: Map<string | undefined, PinnedImage | undefined>;

  /** @param known what was resolved before, and is not looked up again */
  constructor(resolve: ResolveImage, known: Inherited['images'] = []) {
    this.#resolve = resolve;
    this.#images = new Map(known.map(({ image, pinned }) => [image, pinned]));
  }

  async pin(items: readonly AdmittedItem[]): Promise<AdmittedItem[]> {
    const pinned: AdmittedItem[] = [];
    for (const item of items) {
      const pinnedImage = item.executor === 'dispatch' ? await this.of(item.image) : undefined;
      pinned.push(pinnedImage ? { ...item, pinnedImage } : item);
    }
    return pinned;
  }

  /** `image` undefined: the one of the backend. */
  async of(image: string | undefined): Promise<PinnedImage | undefined> {
    if (!this.#images.has(image)) this.#images.set(image, await this.#resolve(image));
    return this.#images.get(image);
  }

  named(): Inherited['images'] {
    return [...this.#images].flatMap(([image, pinned]) =>
      pinned ? [{ ...(image !== undefined && { image }), pinned }] : [],
    );
  }
}
