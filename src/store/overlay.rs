//! An overlay: a file that is read, and written to in memory alone.
//!
//! ```text
//!   write 4096..8192   ->  block 1 in memory
//!   read  0..8192      <-  block 0 of the file, block 1 of the memory
//! ```
//!
//! A database that was not closed has to be recovered before it can be read, and that writes. With
//! this in between, looking at a store changes nothing in it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use redb::StorageBackend;
use redb::backends::FileBackend;

/// A file that is never written to.
#[derive(Debug)]
pub(super) struct Overlay {
    below: FileBackend,
    above: Mutex<Above>,
}

/// What was written.
#[derive(Debug)]
struct Above {
    blocks: HashMap<u64, Vec<u8>, RandomState>,
    len: u64,
    /// What of the file below has not been cut off.
    below_len: u64,
}

impl Overlay {
    /// Lays it over a file.
    pub fn open(path: &Path) -> io::Result<Overlay> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let below = FileBackend::new(file).map_err(io::Error::other)?;
        let above = Above { blocks: HashMap::default(), len, below_len: len };
        Ok(Overlay { below, above: Mutex::new(above) })
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as it is now.
    fn block(&self, above: &Above, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = above.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK_LEN];
        let at = number * BLOCK_LEN as u64;
        let len = above.below_len.saturating_sub(at).min(BLOCK_LEN as u64) as usize;
        self.below.read(at, &mut block[..len])?;
        Ok(block)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > above.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < out.len() {
            let (number, from) = place(offset + done as u64);
            let block = self.block(&above, number)?;
            let len = (BLOCK_LEN - from).min(out.len() - done);
            out[done..][..len].copy_from_slice(&block[from..][..len]);
            done += len;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut above = self.above();
        let (last, from) = place(len);
        if len < above.len {
            let mut block = self.block(&above, last)?;
            block[from..].fill(0);
            above.blocks.retain(|&number, _| number < last);
            above.blocks.insert(last, block);
        }
        above.below_len = above.below_len.min(len);
        above.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut above = self.above();
        let mut done = 0;
        while done < data.len() {
            let (number, from) = place(offset + done as u64);
            let mut block = self.block(&above, number)?;
            let len = (BLOCK_LEN - from).min(data.len() - done);
            block[from..][..len].copy_from_slice(&data[done..][..len]);
            above.blocks.insert(number, block);
            done += len;
        }
        above.len = above.len.max(offset + data.len() as u64);
        Ok(())
    }
}

fn place(offset: u64) -> (u64, usize) {
    (offset / BLOCK_LEN as u64, (offset % BLOCK_LEN as u64) as usize)
}

const BLOCK_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::samples::Folder;
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays() {
        let folder = Folder::new();
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 10_000]).unwrap();
        let overlay = Overlay::open(&path).unwrap();
        let mut expected = vec![7; 10_000];
        let read = |len: usize| {
            let mut out = vec![0; len];
            overlay.read(0, &mut out).unwrap();
            out
        };
        assert_eq!(read(10_000), expected);
        overlay.write(4_000, &[1; 200]).unwrap();
        expected[4_000..4_200].fill(1);
        assert_eq!(read(10_000), expected);
        overlay.set_len(4_100).unwrap();
        overlay.set_len(20_000).unwrap();
        expected.truncate(4_100);
        expected.resize(20_000, 0);
        assert_eq!(read(20_000), expected);
        assert!(overlay.read(19_999, &mut [0; 2]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), [7; 10_000]);
    }
}
