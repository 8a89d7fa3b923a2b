// Opens the checkpoint of a stream with the code of Go's checksum database, and no
// code of ours:
//
//	checkpoint VKEY [RECORDS]
//
// reads a signed note from standard input and prints "opened" and its text. RECORDS
// is a file with a record in base64 a line, the bytes that a leaf is hashed of: they
// are put into tiles, and read again from there under the root in the text.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The height of tiles in C2SP tlog-tiles.
const tileHeight = 8

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("usage: checkpoint VKEY [RECORDS] < NOTE")
	}
	text, err := open(args[0])
	if err != nil {
		return err
	}
	fmt.Printf("opened\n%s", text)
	if len(args) < 2 {
		return nil
	}
	tree, err := parse(text)
	if err != nil {
		return err
	}
	records, err := read(args[1])
	if err != nil {
		return err
	}
	if err := verify(tree, records); err != nil {
		return err
	}
	fmt.Printf("%d records verified\n", len(records))
	return nil
}

// open gives the text of the note on standard input, which the key signed.
func open(vkey string) (string, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", fmt.Errorf("the verifier key: %w", err)
	}
	signed, err := io.ReadAll(os.Stdin)
	if err != nil {
		return "", err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return "", fmt.Errorf("the note: %w", err)
	}
	return opened.Text, nil
}

// parse reads the three lines that every checkpoint of C2SP begins with.
func parse(text string) (tlog.Tree, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 {
		return tlog.Tree{}, errors.New("a checkpoint has three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, err
	}
	return tlog.Tree{N: size, Hash: hash}, nil
}

func read(path string) ([][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var records [][]byte
	lines := bufio.NewScanner(file)
	// A value has at most 1 MiB.
	lines.Buffer(nil, 2<<20)
	for lines.Scan() {
		record, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, lines.Err()
}

// verify puts records into tiles, and reads each of them through a reader that
// believes only what hashes up to the tree.
func verify(tree tlog.Tree, records [][]byte) error {
	if tree.N != int64(len(records)) {
		return fmt.Errorf("the checkpoint has %d records, and here are %d", tree.N, len(records))
	}
	stored := storage{}
	for i, record := range records {
		hashes, err := tlog.StoredHashes(int64(i), record, stored)
		if err != nil {
			return err
		}
		for _, hash := range hashes {
			stored[int64(len(stored))] = hash
		}
	}
	reader := tlog.TileHashReader(tree, tiles{stored})
	for i, record := range records {
		found, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		if err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		if hash := tlog.RecordHash(record); !bytes.Equal(found[0][:], hash[:]) {
			return fmt.Errorf("record %d is another one", i)
		}
	}
	return nil
}

// storage has the hashes of a tree by their index.
type storage map[int64]tlog.Hash

func (s storage) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hash, ok := s[index]
		if !ok {
			return nil, fmt.Errorf("there is no hash %d", index)
		}
		hashes[i] = hash
	}
	return hashes, nil
}

// tiles is what a mirror would serve.
type tiles struct{ stored storage }

func (t tiles) Height() int { return tileHeight }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(wanted))
	for i, tile := range wanted {
		bytes, err := tlog.ReadTileData(tile, t.stored)
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}
