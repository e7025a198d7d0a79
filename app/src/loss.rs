//! The loss of the device that draws the window: a driver's reset, a GPU that went away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use eframe::wgpu;
use egui::Context;

/// Whether the device of a window was lost, and why.
#[derive(Debug, Default)]
pub struct Loss {
    reason: OnceLock<String>,
    device: OnceLock<wgpu::Device>,
    /// The window is closed: its device goes with it.
    over: AtomicBool,
}

impl Loss {
    /// From now on a loss of this device is noticed, and wakes the window.
    pub fn watch(self: &Arc<Self>, device: &wgpu::Device, ctx: &Context) {
        let _ = self.device.set(device.clone());
        let (loss, ctx) = (Arc::clone(self), ctx.clone());
        device.set_device_lost_callback(move |kind, message| {
            if !loss.over.load(Ordering::Acquire) {
                let reason = match message.trim() {
                    "" => format!("{kind:?}"),
                    message => message.to_owned(),
                };
                tracing::error!("the device that draws the window was lost: {reason}");
                // The first reason is the one that counts.
                let _ = loss.reason.set(reason);
                ctx.request_repaint();
            }
        });
        let loss = Arc::clone(self);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            if loss.reason().is_some() {
                // Everything on a lost device is an error.
                tracing::debug!("after the loss of the device: {error}");
            } else {
                tracing::error!("while drawing: {error}");
            }
        }));
    }

    /// Why the device was lost, if it was.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// The same after a fault, which can come before wgpu has told of the loss that caused it.
    pub fn reason_after_fault(&self) -> Option<&str> {
        let device = self.device.get()?;
        if self.reason().is_none() && !engine::device::answers(device) {
            // If it is told of right now, that reason is as good.
            let _ = self.reason.set("the driver did not say why".to_owned());
        }
        self.reason()
    }

    /// The window is closed, and what happens to its device now is no loss.
    pub fn no_more(&self) {
        self.over.store(true, Ordering::Release);
    }
}
