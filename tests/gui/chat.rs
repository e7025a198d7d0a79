//! Questions, streamed answers, follow-ups and errors.

use super::*;

#[test]
fn a_question_is_sent_with_the_picture_and_streams_until_stopped() {
    let mut harness = harness(ct_desk());
    type_question(&mut harness, "Is there a fracture?");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    {
        let desk = harness.state();
        let request = desk.asked()[0];
        assert_eq!(request.question, "Is there a fracture?");
        assert_eq!(request.sources.len(), 1);
        assert!(desk.state.chat.draft.text.is_empty());
    }
    let text = |text: &str| EventKind::Text(text.to_owned());
    harness.state_mut().event(job, text("There is"));
    harness.state_mut().event(job, text(" no fracture"));
    harness.run_steps(3);
    assert!(shows(&harness, "There is no fracture"));
    harness.get_by_label("Stop answer").click();
    harness.run_steps(3);
    let stopped = harness.state().effects.last();
    assert!(
        matches!(stopped, Some(Effect::Stop(JobId(id))) if *id == job),
        "{stopped:?}"
    );
    let stopped = answer("There is no fracture", AnswerEnd::Stopped);
    harness.state_mut().event(job, stopped);
    harness.run();
    assert!(
        shows(&harness, "There is no fracture"),
        "the partial text stays"
    );
    assert!(shows(&harness, "8.5 tokens/s · first token after 0.42 s"));
    assert!(shows(&harness, "612 of 4096 tokens"));
}

#[test]
fn escape_stops_the_answer_even_while_typing() {
    let mut harness = harness(ct_desk());
    type_question(&mut harness, "What is this?");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    let stopped = harness.state().effects.last();
    assert!(
        matches!(stopped, Some(Effect::Stop(JobId(id))) if *id == job),
        "{stopped:?}"
    );
}

#[test]
fn shift_enter_starts_a_new_line_and_sends_nothing() {
    let mut harness = harness(ct_desk());
    type_question(&mut harness, "one");
    harness.key_press_modifiers(Modifiers::SHIFT, Key::Enter);
    harness.run();
    harness.get_by_label("Question").type_text("two");
    harness.run();
    assert_eq!(harness.state().state.chat.draft.text, "one\ntwo");
    assert!(harness.state().asked().is_empty());
}

#[test]
fn a_follow_up_sends_earlier_turns_of_the_same_picture_only() {
    let mut desk = ct_desk();
    let ask = ask_and_answer;
    ask(&mut desk, "first?", "one");
    ask(&mut desk, "second?", "two");
    desk.perform(Action::StepSlices(1));
    ask(&mut desk, "third?", "three");
    let history: Vec<usize> = desk.asked().iter().map(|r| r.history.len()).collect();
    assert_eq!(history, [0, 1, 0]);
    assert_eq!(desk.asked()[1].history[0].answer, "one");
    desk.perform(Action::NewConversation);
    ask(&mut desk, "fourth?", "four");
    assert_eq!(desk.asked()[3].history.len(), 0);
}

#[test]
fn several_pictures_can_be_asked_about_at_once() {
    let mut harness = harness(ct_desk());
    harness.get_by_label("Add this slice").click();
    harness.run();
    harness.key_press(Key::ArrowDown);
    harness.run();
    harness.get_by_label("Add this slice").click();
    harness.run();
    type_question(&mut harness, "What differs?");
    harness.get_by_role_and_label(Role::Button, "Ask").click();
    harness.run_steps(3);
    assert_eq!(harness.state().asked()[0].sources.len(), 2);
    let chip = format!(
        "slice 12, axial, {}",
        workbench::state::window_words(ct_volume().automatic_window())
    );
    assert!(shows(&harness, &chip));
}

#[test]
fn a_text_question_needs_no_picture() {
    let mut desk = Desk::default();
    desk.perform(Action::LoadModel("model".into()));
    desk.event(1, model(true, &["comprehend"]));
    let mut harness = harness(desk);
    type_question(&mut harness, "What is a meniscus?");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    assert!(harness.state().asked()[0].sources.is_empty());
    assert!(shows(&harness, "without a picture"));
}

#[test]
fn the_ask_button_says_why_it_is_disabled() {
    let mut harness = harness(Desk::default());
    let disabled = |harness: &Harness<'_, Desk>| {
        let ask = harness.get_by_role_and_label(Role::Button, "Ask");
        ask.accesskit_node().is_disabled()
    };
    assert!(disabled(&harness) && shows(&harness, "no model is loaded; load one first"));
    harness
        .state_mut()
        .perform(Action::LoadModel("model".into()));
    harness.state_mut().event(1, model(true, &["comprehend"]));
    harness.run();
    assert!(disabled(&harness) && shows(&harness, "type a question first"));
    type_question(&mut harness, "  ");
    harness.key_press(Key::Enter);
    harness.run();
    assert!(harness.state().asked().is_empty());
}

#[test]
fn an_error_is_shown_in_place_of_the_answer() {
    let mut desk = ct_desk();
    desk.state.chat.draft.text = "Too long?".to_owned();
    desk.perform(Action::Ask);
    let job = desk.last_job();
    let error = Error::Model(ModelError::PromptTooLong {
        tokens: 5000,
        limit: 4096,
    });
    desk.event(job, EventKind::Failed(Arc::new(error)));
    let mut harness = harness(desk);
    assert!(shows(
        &harness,
        "No answer: the prompt has 5000 tokens but the model takes 4096"
    ));
    type_question(&mut harness, "Again?");
    let ask = harness.get_by_role_and_label(Role::Button, "Ask");
    assert!(!ask.accesskit_node().is_disabled(), "the program goes on");
}

#[test]
fn an_answer_of_a_cleared_conversation_does_not_come_back() {
    let mut desk = ct_desk();
    desk.state.chat.draft.text = "Old?".to_owned();
    desk.perform(Action::Ask);
    let old = desk.last_job();
    desk.perform(Action::NewConversation);
    desk.event(old, answer("late", AnswerEnd::Stopped));
    assert!(desk.state.chat.turns.is_empty());
}

#[test]
fn a_question_can_be_edited_and_asked_again() {
    let mut desk = ct_desk();
    ask_and_answer(&mut desk, "Is it brokn?", "No.");
    let mut harness = harness(desk);
    harness.get_by_label("Edit").click();
    harness.run();
    assert_eq!(harness.state().state.chat.draft.text, "Is it brokn?");
}

#[test]
fn an_answer_can_be_copied() {
    let mut desk = ct_desk();
    ask_and_answer(&mut desk, "Is it broken?", " No.");
    let mut harness = harness(desk);
    harness.get_by_label("Copy").click();
    harness.run();
    let copied = harness.state().effects.last();
    assert!(
        matches!(copied, Some(Effect::Copy(text)) if text == "No."),
        "{copied:?}"
    );
}

#[test]
fn the_picture_of_a_question_is_a_click_away_even_from_another_series() {
    let mut desk = ct_desk();
    desk.perform(Action::SetSlice(4));
    desk.perform(Action::Preset(6));
    ask_and_answer(&mut desk, "What is it?", "A ball.");
    let asked = desk.state.chat.turns[0].pictures[0].clone();
    desk.perform(Action::SetSlice(15));
    desk.perform(Action::ShowPicture(asked.clone()));
    assert_eq!(desk.state.viewer.open().unwrap().evidence().picture, asked);
    open_another_series(&mut desk);
    let mut harness = harness(desk);
    harness.get_by_label("slice 5, axial, C 350 W 2000").click();
    harness.run_steps(3);
    let job = harness.state().last_job();
    let loaded = EventKind::SeriesLoaded {
        id: "s1".to_owned(),
        loaded: Loaded::Volume(Arc::new(ct_volume())),
    };
    harness.state_mut().event(job, loaded);
    harness.run();
    assert_eq!(
        slice_name(&harness),
        "Slice 5 of 20, axial, window C 350 W 2000"
    );
}

fn open_another_series(desk: &mut Desk) {
    desk.perform(Action::OpenPaths(vec!["more".into()]));
    let scan = desk.last_job();
    let found = EventKind::ScanDone {
        series: vec![series("s2", "Second", Modality::Mr)],
        skipped: Vec::new(),
    };
    desk.event(scan, found);
    let load = desk.last_job();
    let loaded = EventKind::SeriesLoaded {
        id: "s2".to_owned(),
        loaded: Loaded::Volume(Arc::new(ct_volume())),
    };
    desk.event(load, loaded);
    assert_eq!(desk.state.viewer.series_id(), Some("s2"));
}

/// The whole story without a mouse: Tab to the question, ask, Tab to the button, convert, Escape.
#[test]
fn a_scan_is_asked_about_and_converted_by_keyboard_alone() {
    let mut harness = harness(ct_desk());
    tab_to(&mut harness, "Question");
    harness.event(Event::Text("Is it broken?".to_owned()));
    harness.run();
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    assert_eq!(harness.state().asked().len(), 1);
    harness
        .state_mut()
        .event(job, answer("No.", AnswerEnd::Complete));
    harness.run();
    tab_to(&mut harness, "CT → MRI");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    let result = EventKind::Generated(Arc::new(generated(0.3)));
    harness.state_mut().event(job, result);
    harness.run();
    assert!(shows(&harness, "Synthetic (AI)"));
    harness.key_press(Key::Escape);
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 11"));
}
