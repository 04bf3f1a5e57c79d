// Reads our deployment log with Go's own note and tlog packages (golang.org/x/mod), which are not ours.
//
//	tlogcheck tiles VKEY DIR               DIR/checkpoint, and every entry and hash tile below DIR/tile
//	tlogcheck consistency VKEY OLD DIR     the note in the file OLD is of the same log at an earlier size
//	tlogcheck proofs                       a proof in each line of standard input, a line `true` or `false` for each
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func open(vkey, file string) tlog.Tree {
	verifier := must(note.NewVerifier(vkey))
	opened := must(note.Open(must(os.ReadFile(file)), note.VerifierList(verifier)))
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		check(fmt.Errorf("not a checkpoint of %s: %q", verifier.Name(), opened.Text))
	}
	return tlog.Tree{N: must(strconv.ParseInt(lines[1], 10, 64)), Hash: must(tlog.ParseHash(lines[2]))}
}

// folder serves tiles of height 8 from the layout of C2SP tlog-tiles, which leaves the height out of the path.
type folder string

func (folder) Height() int                     { return 8 }
func (folder) SaveTiles([]tlog.Tile, [][]byte) {}
func (dir folder) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, tile := range tiles {
		name := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		bytes, err := os.ReadFile(filepath.Join(string(dir), name))
		if err != nil {
			return nil, err
		}
		all = append(all, bytes)
	}
	return all, nil
}

func tiles(vkey, dir string) {
	tree := open(vkey, filepath.Join(dir, "checkpoint"))
	hashes := tlog.TileHashReader(tree, folder(dir))
	if root := must(tlog.TreeHash(tree.N, hashes)); root != tree.Hash {
		check(fmt.Errorf("the tiles make the root %v, not %v", root, tree.Hash))
	}
	for first := int64(0); first < tree.N; first += 256 {
		width := min(tree.N-first, 256)
		tile := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(width)}
		bytes := must(os.ReadFile(filepath.Join(dir, strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1))))
		for index := first; index < first+width; index++ {
			length := 2 + int(binary.BigEndian.Uint16(bytes))
			hash := tlog.RecordHash(bytes[2:length])
			bytes = bytes[length:]
			check(tlog.CheckRecord(must(tlog.ProveRecord(tree.N, index, hashes)), tree.N, tree.Hash, index, hash))
		}
		if len(bytes) > 0 {
			check(fmt.Errorf("bytes after the last entry of a bundle"))
		}
	}
	fmt.Println(tree.N, tree.Hash)
}

// proof of inclusion (Leaf is the hash of entry First) or of consistency (Leaf is the root at size First).
type proof struct {
	Inclusion   bool
	First, Size int64
	Leaf, Root  tlog.Hash
	Hashes      []tlog.Hash
}

func (p proof) holds() bool {
	if p.Inclusion {
		return tlog.CheckRecord(p.Hashes, p.Size, p.Root, p.First, p.Leaf) == nil
	}
	return tlog.CheckTree(p.Hashes, p.Size, p.Root, p.First, p.Leaf) == nil
}

func main() {
	switch args := os.Args[1:]; args[0] {
	case "tiles":
		tiles(args[1], args[2])
	case "consistency":
		older, tree := open(args[1], args[2]), open(args[1], filepath.Join(args[3], "checkpoint"))
		proof := must(tlog.ProveTree(tree.N, older.N, tlog.TileHashReader(tree, folder(args[3]))))
		check(tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash))
	case "proofs":
		decoder := json.NewDecoder(os.Stdin)
		for decoder.More() {
			var each proof
			check(decoder.Decode(&each))
			fmt.Println(each.holds())
		}
	default:
		check(fmt.Errorf("tiles, consistency or proofs?"))
	}
}
