package usage

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
)

const (
	segmentBytes = 4 << 20 // a segment is closed once it is this long
	maxFrame     = 16 << 20
	frameHeader  = 4 + 4 + 2 // length, CRC-32C of what follows it, records
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type segment struct {
	path    string
	number  uint64
	size    int64 // of the whole frames
	records int64 // in frames not yet dropped
}

// spooled is a message read back and where its frame ends.
type spooled struct {
	message
	end int64
}

func appendFrame(dst []byte, m message) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(m.records))
	dst = append(dst, byte(len(m.id)))
	dst = append(dst, m.id...)
	dst = append(dst, m.data...)
	payload := dst[start+8:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(payload, castagnoli))
	return dst
}

// scan measures the whole frames of a segment by their headers alone.
func scan(path string) (segment, error) {
	g := segment{path: path}
	f, err := os.Open(path)
	if err != nil {
		return g, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return g, err
	}
	var header [frameHeader]byte
	for {
		if _, err := f.ReadAt(header[:], g.size); err != nil {
			if err == io.EOF {
				return g, nil
			}
			return g, err
		}
		length := int64(binary.LittleEndian.Uint32(header[:]))
		if length < 3 || length > maxFrame || g.size+8+length > info.Size() {
			return g, nil // torn by a crash
		}
		g.size += 8 + length
		g.records += int64(binary.LittleEndian.Uint16(header[8:]))
	}
}

// readFrame reads the frame at an offset and says where it ends. It returns
// ErrCorrupt if it is not as it was written.
func readFrame(f *os.File, at, size int64) (m message, end int64, err error) {
	var header [8]byte
	if _, err := f.ReadAt(header[:], at); err != nil {
		return m, 0, cutOff(err)
	}
	length := int64(binary.LittleEndian.Uint32(header[:]))
	end = at + 8 + length
	if length < 3 || length > maxFrame || end > size {
		return m, 0, ErrCorrupt
	}
	payload := make([]byte, length)
	if _, err := f.ReadAt(payload, at+8); err != nil {
		return m, 0, cutOff(err)
	}
	idEnd := 3 + int64(payload[2])
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(header[4:]) || idEnd > length {
		return m, 0, ErrCorrupt
	}
	m.records = int(binary.LittleEndian.Uint16(payload))
	m.id = string(payload[3:idEnd])
	m.data = payload[idEnd:]
	return m, end, nil
}

// cutOff tells a file that is shorter than it was from a disk that fails.
func cutOff(err error) error {
	if err == io.EOF {
		return ErrCorrupt
	}
	return err
}
