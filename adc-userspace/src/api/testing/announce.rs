//! Announcements for tests.

use super::{super::proto::AnnouncementView, noon};

pub(super) fn views() -> Vec<AnnouncementView> {
    vec![
        AnnouncementView {
            vip: "192.0.2.1".parse().unwrap(),
            table: 173,
            announced: true,
            since: Some(noon()),
            why: "served".into(),
        },
        AnnouncementView {
            vip: "2001:db8::1".parse().unwrap(),
            table: 173,
            announced: false,
            since: None,
            why: "service www6: 0 backends of pool web6 take new flows, 1 wanted".into(),
        },
    ]
}
