//! Writes: past the page cache what is worth it, and through it the rest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ripcurrent_proto::api::{Access, DiskError, FileSpan};
use ripcurrent_proto::meta::layout::FileIndex;

use super::cache::{Open, OpenFiles};
use super::direct::{LEAST, LEAST_FILE};
use super::paths::Walker;
use super::step::Step;
use super::storage::{MISFIT, Named, Storage, of_file};
use crate::pool::lock;

impl Storage {
    /// The steps that write `bytes` to the spans; `None` where a file is not open, or nothing goes
    /// past the page cache.
    pub(super) fn steps_to_write(
        &self,
        files: &OpenFiles,
        bytes: &[u8],
        spans: &[FileSpan],
    ) -> Option<Vec<Step>> {
        let mut steps = Vec::with_capacity(spans.len());
        let mut rest = bytes;
        for span in spans {
            let (part, after) = rest.split_at_checked(span.len as usize)?;
            let at = bytes.len() - rest.len();
            rest = after;
            let Some(index) = span.file else { continue };
            let open = files.get((self.plan.number, index.0))?;
            if span.aside || !open.is_unfinished() {
                return None;
            }
            self.steps_of(&mut steps, &open, index, span, at, part);
        }
        steps.iter().any(Step::is_direct).then_some(steps)
    }

    /// Writes `bytes` to the spans.
    pub(super) fn write(
        &self,
        files: &OpenFiles,
        bytes: &[u8],
        spans: &[FileSpan],
    ) -> Result<(), DiskError> {
        let mut walker = self.walker().making_folders();
        let mut rest = bytes;
        for span in spans {
            let (part, after) = rest.split_at_checked(span.len as usize).ok_or(MISFIT)?;
            rest = after;
            let Some(index) = span.file else { continue };
            self.write_span((files, &mut walker), index, span, part)
                .map_err(|error| of_file(index, &error))?;
        }
        Ok(())
    }

    fn write_span<'a>(
        &'a self,
        (files, walker): (&OpenFiles, &mut Walker<'a>),
        index: FileIndex,
        span: &FileSpan,
        bytes: &[u8],
    ) -> io::Result<()> {
        let Access::Write { .. } = self.plan.access else {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        };
        let named = self.named(index)?;
        if span.aside && self.write_aside(files, named, span.offset, bytes)? {
            return Ok(());
        }
        let covers_all = span.offset == 0 && u64::from(span.len) == named.entry.len;
        // What is written directly is better allocated before.
        let is_whole = covers_all && !self.writes_directly(named);
        let open = self.to_write((files, walker), named, is_whole)?;
        let mut steps = Vec::new();
        self.steps_of(&mut steps, &open, index, span, 0, bytes);
        let written = steps
            .into_iter()
            .try_for_each(|step| self.write_step(step, bytes));
        if is_whole && written.is_err() {
            // It may be shorter than it should be: whoever opens it next sees to that.
            files.forget_one((self.plan.number, index.0));
        }
        written
    }

    /// Adds the steps that write `bytes`, which a slab has from `at` on, to a span.
    fn steps_of(
        &self,
        steps: &mut Vec<Step>,
        open: &Arc<Open>,
        index: FileIndex,
        span: &FileSpan,
        at: usize,
        bytes: &[u8],
    ) {
        let address = bytes.as_ptr() as usize;
        let may = self.direct.load(Ordering::Relaxed);
        Step::to_write(steps, open, index, span, at, address, may);
    }

    /// Carries out a step on this thread.
    pub(super) fn write_step(&self, step: Step, slab: &[u8]) -> io::Result<()> {
        let index = step.index;
        let written = step.write(slab);
        self.changed(index);
        if written? {
            self.write_cached_from_now_on();
        }
        Ok(())
    }

    /// A write to that file has ended.
    pub(super) fn changed(&self, index: FileIndex) {
        lock(&self.unsynced).file(index);
    }

    /// The file system has refused a direct write, after all it said.
    pub(super) fn write_cached_from_now_on(&self) {
        self.direct.store(false, Ordering::Relaxed);
    }

    /// Whether parts of that file may be worth a direct write.
    pub(super) fn writes_directly(&self, named: Named<'_>) -> bool {
        self.direct.load(Ordering::Relaxed)
            && named.entry.len >= LEAST_FILE
            && self.plan.layout.piece_length() as usize >= LEAST
    }
}
